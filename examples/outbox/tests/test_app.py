from datetime import timedelta

import pytest

from holdfast import ActorCallError


def test_a_transfer_arrives_and_is_marked_done(host):
    alice, bob = (host.env.WALLET.id_from_name(name) for name in ("alice", "bob"))
    alice.deposit(100)
    alice.send("t1", "bob", 30)
    assert alice.balance() == {"balance": 70, "on_the_way": 1}
    host.clock.advance(0)

    assert alice.balance() == {"balance": 70, "on_the_way": 0}
    assert bob.balance() == {"balance": 30, "on_the_way": 0}
    assert host.instance("Wallet", "alice").storage["sent:t1"]["done"]


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_debit_and_debt_are_one(host, writes):
    alice = host.env.WALLET.id_from_name("alice")
    alice.deposit(100)
    host.crash_after_writes(writes)
    with pytest.raises(ActorCallError):
        alice.send("t1", "bob", 30)

    assert alice.balance() == {"balance": 100, "on_the_way": 0}
    assert host.instance("Wallet", "alice").alarm is None


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("after", ["crash_after_writes", "crash_after_commits"])
def test_a_delivery_that_dies_at_any_step_is_made_again_and_counts_once(host, after, steps):
    alice, bob = (host.env.WALLET.id_from_name(name) for name in ("alice", "bob"))
    alice.deposit(100)
    alice.send("t1", "bob", 10)
    alice.send("t2", "bob", 20)
    getattr(host, after)(steps)
    host.clock.advance(timedelta(minutes=1))

    assert bob.balance() == {"balance": 30, "on_the_way": 0}
    assert alice.balance() == {"balance": 70, "on_the_way": 0}


def test_wallets_that_cannot_be_reached_keep_nobody_else_waiting(host):
    alice, bob = (host.env.WALLET.id_from_name(name) for name in ("alice", "bob"))
    alice.deposit(100)
    host.instance("Wallet", "broken").storage["balance"] = "not a number"
    for number in range(25):
        alice.send(f"t{number}", "broken", 1)
    alice.send("last", "bob", 10)
    host.clock.advance(timedelta(minutes=1))

    assert bob.balance()["balance"] == 10
    assert alice.balance() == {"balance": 65, "on_the_way": 25}


def test_a_transfer_that_is_asked_for_twice_happens_once(host):
    alice, bob = (host.env.WALLET.id_from_name(name) for name in ("alice", "bob"))
    alice.deposit(100)
    for _ in range(3):
        assert alice.send("t1", "bob", 30) == {"ok": True, "balance": 70}
        host.clock.advance(1)
        bob.receive("alice", "t1", 30)

    assert bob.balance()["balance"] == 30
    with pytest.raises(ActorCallError, match="t1 is another one"):
        alice.send("t1", "bob", 31)


def test_what_cannot_be_paid_is_not_owed(host):
    alice = host.env.WALLET.id_from_name("alice")
    alice.deposit(20)

    assert alice.send("t1", "bob", 30) == {"ok": False, "balance": 20}
    assert alice.balance() == {"balance": 20, "on_the_way": 0}


@pytest.mark.parametrize(
    ("transfer", "to", "amount", "code"),
    [
        ("t1", "bob", 0, "bad_amount"),
        ("t1", "bob", -5, "bad_amount"),
        ("t1", "bob", 0.5, "bad_amount"),
        ("t1", "bob", "5", "bad_amount"),
        ("t1", "alice", 5, "bad_wallet"),
        ("t1", "", 5, "bad_wallet"),
        ("t1", "no\0name", 5, "bad_wallet"),
        ("t1", 7, 5, "bad_wallet"),
        ("", "bob", 5, "bad_transfer"),
        ("a:b", "bob", 5, "bad_transfer"),
        ("t" * 65, "bob", 5, "bad_transfer"),
        (None, "bob", 5, "bad_transfer"),
    ],
)
def test_a_transfer_that_could_never_be_delivered_is_refused(host, transfer, to, amount, code):
    alice = host.env.WALLET.id_from_name("alice")
    alice.deposit(20)

    with pytest.raises(ActorCallError) as refused:
        alice.send(transfer, to, amount)
    assert refused.value.code == code
