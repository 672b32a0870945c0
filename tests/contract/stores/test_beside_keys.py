"""What every Store promises of what an instance has beside its keys: its alarm, receipts and sockets."""

from __future__ import annotations

from dataclasses import replace

from holdfast_host.storage.store import (
    Alarm,
    Changes,
    Ending,
    Receipt,
    SocketRow,
    Store,
)
from tests.contract.stores.committing import ACCOUNT, Committer, alarm_change, changes


def test_an_instance_with_only_an_alarm_exists(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)

    commit((alice, alarm_change(Alarm(due_us=50, retry_count=2, scheduled_us=40, state="retrying", last_error="é"))))

    assert alice.exists
    assert store.alarm(alice) == Alarm(50, 2, 40, "retrying", "é")

    commit((alice, alarm_change(None)))

    assert not alice.exists
    assert store.alarm(alice) is None


def test_an_alarm_and_a_socket_keep_the_trace_of_the_turn_that_made_them(store: Store) -> None:
    """What runs later links to it, whatever was restarted meanwhile."""
    alice, trace = store.locate(ACCOUNT, b"alice"), bytes(range(1, 26))
    commit = Committer(store)
    alarm = Alarm(50, 2, 40, "retrying", "é", begun=True, trace=trace)
    ending = Ending(1006, "gone", clean=False)
    row = SocketRow(7, tags=b"\0all\0", attachment=b"1", trace=trace)
    rows = {5: row, 6: row._replace(ending=ending), 7: row._replace(trace=b"")}
    commit((alice, alarm_change(alarm)), (alice, Changes(sockets={**rows})))

    assert store.alarm(alice) == alarm
    assert dict(store.sockets(alice, 0, 9)[0]) == rows

    commit((alice, alarm_change(replace(alarm, trace=b""))))

    assert store.alarm(alice) == Alarm(50, 2, 40, "retrying", "é", begun=True)


def test_an_instance_with_only_a_receipt_exists_until_it_is_erased(store: Store) -> None:
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    commit = Committer(store)
    receipt = Receipt(4_000_000_000, 200, b"f" * 16, b'{"balance":7}')
    commit((alice, Changes(receipts={b"a" * 16: receipt})))

    assert alice.exists
    assert alice.live_bytes == 0
    assert alice.apart_bytes > len(receipt.body)
    assert store.receipt(alice, b"a" * 16) == receipt
    assert store.receipt(alice, b"b" * 16) is None
    assert store.receipt(bob, b"a" * 16) is None
    assert store.get(alice, b"a" * 16) is None
    assert store.count_keys(alice, b"") == (0, None)
    commit((alice, changes(cleared=True)))
    assert store.receipt(alice, b"a" * 16) == receipt, "what clears the keys leaves the receipts"

    commit((alice, Changes(cleared=True, erased=True)), (bob, Changes(receipts={b"b" * 16: receipt})))

    assert not alice.exists
    assert store.receipt(alice, b"a" * 16) is None
    assert store.receipt(bob, b"b" * 16) == receipt


def test_sockets_are_an_instance_s_own_and_one_with_only_a_socket_exists(store: Store) -> None:
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    commit = Committer(store)
    row = SocketRow(7, tags=b"\0user:a\0", protocol=b"chat", attachment=b'{"user":"a"}')
    ending = Ending(1006, "gone", clean=False, broke=True, tries=2, begun=True, killed=True)
    closed = SocketRow(8, events=True, closed=True, ending=ending)
    auto = SocketRow(9, tags=b"ping", attachment=b"pong")
    commit((alice, Changes(sockets={0: auto, 1 << 32 | 5: row, 3: closed})), (bob, Changes(sockets={4: row})))

    assert alice.exists
    assert alice.live_bytes == 0
    assert alice.apart_bytes > len(row.tags) + len(row.attachment)
    assert store.socket(alice, 1 << 32 | 5) == row
    assert store.socket(alice, 0) == auto
    assert store.socket(alice, 4) is None
    assert store.sockets(alice, 0, 9) == ([(3, closed), (1 << 32 | 5, row)], None)
    assert store.sockets(alice, 0, 1) == ([(3, closed)], 3)
    assert store.sockets(alice, 3, 9) == ([(1 << 32 | 5, row)], None)
    commit((alice, changes(cleared=True)))
    assert store.socket(alice, 3) == closed, "what clears the keys leaves the sockets"

    commit((alice, Changes(sockets={3: None, 0: None})), (bob, Changes(cleared=True, erased=True)))

    assert store.sockets(alice, 0, 9) == ([(1 << 32 | 5, row)], None)
    assert not bob.exists
    assert store.sockets(bob, 0, 9) == ([], None)
    commit((alice, Changes(sockets={1 << 32 | 5: None})))
    assert not alice.exists


def test_a_socket_on_a_page_says_the_same_as_one_that_is_read_by_itself(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    plain, ending = SocketRow(7), Ending(1006, "gone", clean=False, broke=True, tries=2, begun=True)
    full = SocketRow(8, tags=b"\0user:a\0b\0", protocol=b"chat", attachment=b'{"user":"a"}', trace=bytes(range(25)))
    rows = {
        1: plain,
        2: full,
        3: plain._replace(events=True),
        4: full._replace(closed=True),
        5: full._replace(ending=ending),
        6: full._replace(events=True, closed=True, ending=ending, trace=b""),
    }
    Committer(store)((alice, Changes(sockets={**rows})))

    pages = dict(store.sockets(alice, 0, 9)[0]), {number: row for _, number, row in store.socket_page(b"", 9)[0]}
    for found in pages:
        assert [*found] == [*rows]
        for number, row in found.items():
            alone = store.socket(alice, number)
            assert alone == rows[number]
            assert {name: getattr(row, name) for name in SocketRow._fields} == alone._asdict()
            assert (row.marks, row.read(), repr(row), hash(row)) == (alone.marks, alone, repr(alone), hash(alone))
            assert row == alone == row
            assert row._replace(attachment=b"1") == alone._replace(attachment=b"1") != row
        assert len({row.marks for row in found.values()}) == 5


def test_all_sockets_are_found_page_by_page_with_whose_they_are_behind_their_auto_response(store: Store) -> None:
    commit = Committer(store)
    instances = [store.locate(ACCOUNT, b"n%d" % n) for n in range(9)]
    row = SocketRow(7)
    commit(*((each, Changes(sockets={0: row, 1: row, n + 2: row})) for n, each in enumerate(instances)))
    found: list[tuple[bytes, int]] = []
    after: bytes | None = b""
    pages = 0
    while after is not None:
        page, after = store.socket_page(after, 4)
        found += [(instance.name, socket) for instance, socket, _ in page]
        pages += 1
        assert len(page) <= 4
        assert all(instance in instances for instance, _, _ in page)

    assert sorted(found) == sorted((b"n%d" % n, each) for n in range(9) for each in (0, 1, n + 2))
    assert [each for each in found if each[0] == b"n3"] == [(b"n3", 0), (b"n3", 1), (b"n3", 5)]
    assert pages > 4


def test_alarms_come_due_in_order_of_time_and_only_once_moved(store: Store) -> None:
    commit = Committer(store)
    instances = [store.locate(ACCOUNT, b"n%d" % n) for n in range(6)]
    due = [500, 100, 300, 200, 400, 600]
    commit(*((each, alarm_change(Alarm(due_us=at))) for each, at in zip(instances, due, strict=True)))
    commit((instances[1], alarm_change(Alarm(due_us=450))), (instances[2], alarm_change(None)))

    found = store.due_alarms(600, 10)

    assert [(at, each.name) for at, each in found] == [(200, b"n3"), (400, b"n4"), (450, b"n1"), (500, b"n0")]
    assert [at for at, _ in store.due_alarms(600, 2)] == [200, 400]
    assert all(each in instances for _, each in found)


def test_alarms_are_listed_by_state_page_by_page(store: Store) -> None:
    commit = Committer(store)
    instances = [store.locate(ACCOUNT, b"n%d" % n) for n in range(12)]
    states = ["armed", "retrying", "abandoned", "parked"]
    commit(
        *(
            (each, alarm_change(Alarm(due_us=100 - n, state=states[n % 4], begun=n % 4 == 1, last_error=f"error {n}")))
            for n, each in enumerate(instances)
        )
    )
    listed: dict[str, list[bytes]] = {}
    for state in states:
        position: bytes | None = b""
        while position is not None:
            rows, position = store.alarm_page(state, position, 2)
            assert len(rows) <= 2
            assert all((type_id, alarm.state) == (ACCOUNT, state) for type_id, _, alarm in rows)
            listed.setdefault(state, []).extend(name for _, name, _ in rows)
    alarm = store.alarm(instances[1])

    assert {state: sorted(names) for state, names in listed.items()} == {
        state: sorted(b"n%d" % n for n in range(12) if states[n % 4] == state) for state in states
    }
    assert alarm is not None
    assert (alarm.begun, alarm.killed, alarm.last_error) == (True, False, "error 1")


def test_parked_alarms_are_found_by_type(store: Store) -> None:
    commit = Committer(store)
    mine = [store.locate(ACCOUNT, b"n%d" % n) for n in range(5)]
    other = store.locate(ACCOUNT + 1, b"n1")
    commit(*((each, alarm_change(Alarm(due_us=1, state="parked"))) for each in [*mine, other]))
    commit((mine[0], alarm_change(Alarm(due_us=1))), (mine[1], alarm_change(None)))

    assert {each.name for each in store.parked_alarms(ACCOUNT, 10)} == {b"n2", b"n3", b"n4"}
    assert len(store.parked_alarms(ACCOUNT, 2)) == 2
    assert [(due_us, each.name) for due_us, each in store.due_alarms(10, 10)] == [(1, b"n0")]


def test_an_abandoned_alarm_is_kept_but_never_due(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, alarm_change(Alarm(due_us=1))))

    commit((alice, alarm_change(Alarm(due_us=1, state="abandoned"))))

    assert store.due_alarms(1 << 60, 10) == []
    kept = store.alarm(alice)
    assert kept is not None
    assert kept.state == "abandoned"
