"""The statements as the server plans them, and values that nobody thought of."""

from __future__ import annotations

import re

import pytest

from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.postgres.session import connect
from holdfast_host.storage.postgres.statements import PREPARED
from holdfast_host.storage.store import Alarm, Changes, Ending, Receipt, SocketRow
from tests.harness.postgres import PumpedStore
from tests.unit.storage.postgres.conftest import TYPE, Owned

WHOLE_TABLES = re.compile(r"Seq Scan|Hash Join|Merge Join|JIT", re.IGNORECASE)
# Of these the server reads what a limit or a lone row bounds anyway; or the 256 shards, and all sockets when they move.
SMALL = {"names", "numbers", "owned", "give"}


def plans(owned: Owned) -> dict[str, str]:
    """What a worker's connection would do for each statement, whatever the parameters."""
    found = {}
    with connect(owned.address, "test") as connection:
        for name, statement in PREPARED.items():
            connection.pgconn.prepare(name.encode(), statement.encode())
            count = max((int(each) for each in re.findall(r"\$(\d+)", statement)), default=0)
            arguments = f"({', '.join(['NULL'] * count)})" if count else ""
            rows = connection.execute(f"EXPLAIN EXECUTE {name}{arguments}").fetchall()
            found[name] = "\n".join(row[0] for row in rows)
    return found


@pytest.mark.parametrize("rows", [0, 20_000], ids=["empty", "large"])
def test_no_statement_reads_a_whole_table(owned: Owned, rows: int) -> None:
    """A plan that was made while the tables were small must not be one for small tables."""
    if rows:
        owned.other.execute(
            "INSERT INTO instance SELECT n, n % 256, 7, int8send(n), n, n, 10, 0, 0, 0, 0, -1, 0, '', ''"
            f" FROM generate_series(1000000, 1000000 + {rows}) AS n"
        )
        owned.other.execute("INSERT INTO kv SELECT number, 'k', 'v' FROM instance WHERE number >= 1000000")
        owned.other.execute("ANALYZE")
    bad = {name: plan for name, plan in plans(owned).items() if name not in SMALL and WHOLE_TABLES.search(plan)}

    assert bad == {}


def test_bytes_and_texts_come_back_as_they_were_whatever_they_are(owned: Owned) -> None:
    """A text of PostgreSQL would refuse a NUL; a guest's error must not be able to end a worker."""
    value = bytes(range(256)) + b"\\x00'\"$1"
    alarm = Alarm(due_us=5, scheduled_us=4, retry_count=3, state="retrying", last_error="\0 \ud800 '", begun=True)
    job = Job("call", 9, key="\0'", facts=b'{"a":"\\u0000"}', last_error="\udfff", outcome=value)
    socket = SocketRow(7, tags=b"\0a\0", attachment=value, ending=Ending(1006, "\0'", clean=False))
    receipt = Receipt(4_000_000_000, 200, b"\0" * 16, value)
    id_ = new_id("\0'")
    changes = Changes(
        {b"\0k'": value, "名".encode(): b""}, alarm=alarm, alarm_changed=True, jobs={id_: job}, sockets={3: socket},
        receipts={b"\0" * 16: receipt},
    )  # fmt: skip
    owned.begin_all(("é'\\".encode(), changes))
    assert owned.store.report().lost == {}
    again = PumpedStore.open(owned.address, owned.host_life, owned.store._limits)
    found = again.locate(TYPE, "é'\\".encode())

    assert again.get(found, b"\0k'") == value
    assert again.get(found, "名".encode()) == b""
    kept = again.alarm(found)
    assert (kept.due_us, kept.retry_count, kept.state, kept.begun) == (5, 3, "retrying", True)
    assert kept.last_error == "\0 ? '"
    assert again.jobs.get(found, id_).outcome == value
    assert again.socket(found, 3) == socket
    assert again.receipt(found, b"\0" * 16) == receipt
    again.close()


@pytest.mark.limit("instance_memory_bytes")
def test_an_instance_is_not_let_grow_past_what_is_held_in_memory(owned: Owned) -> None:
    """It is held whole while it is in memory."""
    alice = owned.located(b"alice")
    limit = owned.store._limits.instance_memory_bytes

    assert owned.store.refusal(alice, limit) is None
    assert "instance_memory_bytes" in owned.store.refusal(alice, limit + 1).message


def test_answers_under_idempotency_keys_are_not_held_in_memory_and_do_not_count_there(owned: Owned) -> None:
    """There may be any number of them, and each is read when somebody asks."""
    kept = Receipt(4_000_000_000, 200, b"f" * 16, bytes(1_000_000))
    limit = owned.store._limits.instance_memory_bytes
    for n in range(20):
        owned.begin_all((b"alice", Changes({b"k": b"%d" % n}, receipts={b"%016d" % n: kept})))
        assert owned.store.report().lost == {}
    alice = owned.located(b"alice")

    assert alice.apart_bytes > limit
    assert owned.store.receipt(alice, b"%016d" % 3) == kept
    assert owned.store.receipt(alice, b"%016d" % 99) is None
    assert owned.store.refusal(alice, alice.live_bytes + alice.apart_bytes + 1_000) is None
    again = PumpedStore.open(owned.address, owned.host_life, owned.store._limits)
    found = again.locate(TYPE, b"alice")
    assert (found.receipt_bytes, found.apart_bytes) == (alice.apart_bytes, alice.apart_bytes)
    assert again.refusal(found, found.live_bytes + found.apart_bytes + 1_000) is None
    again.close()


def test_what_emptied_instances_leave_is_swept_piece_by_piece(owned: Owned) -> None:
    owned.begin_all((b"alice", Changes({b"%d" % n: b"v" for n in range(2_500)})))
    owned.store.report()
    while owned.store.has_garbage:
        owned.store.sweep()
    owned.begin_all((b"alice", Changes({b"new": b"1"}, cleared=True)))
    owned.store.report()
    assert owned.stored(b"alice") == {"new": b"1"}
    assert owned.value("SELECT count(*) FROM kv") == 2_501
    pieces = 0
    while owned.store.has_garbage:
        owned.store.sweep()
        pieces += 1

    assert owned.value("SELECT count(*) FROM kv") == 1
    assert owned.value("SELECT count(*) FROM garbage") == 0
    assert pieces == 4


def test_receipts_go_when_they_have_expired_by_the_server_s_clock_and_with_them_who_has_nothing_else(
    owned: Owned,
) -> None:
    old, new = Receipt(1_000, 200, b"f" * 16, b"7"), Receipt(4_000_000_000, 200, b"f" * 16, b"8")
    owned.begin_all(
        (b"alice", Changes(receipts={b"a" * 16: old})), (b"bob", Changes(receipts={b"a" * 16: old, b"b" * 16: new}))
    )
    owned.store.report()
    alice, bob = owned.located(b"alice"), owned.located(b"bob")
    before = bob.apart_bytes
    owned.store._store._sweeping.expiry_at = 0.0
    while owned.store.has_garbage:
        owned.store.sweep()

    assert owned.store.receipt(alice, b"a" * 16) is None
    assert owned.store.receipt(bob, b"a" * 16) is None
    assert owned.store.receipt(bob, b"b" * 16) == new
    assert (alice.exists, alice.apart_bytes) == (False, 0)
    assert owned.value("SELECT apart_bytes FROM instance") == bob.apart_bytes == before // 2
    assert owned.value("SELECT count(*) FROM instance") == 1


def test_numbers_are_taken_in_blocks_that_are_asked_for_ahead(owned: Owned) -> None:
    store = owned.store._store
    store._numbers = store._block_end - 3
    numbers = [owned.located(b"n%d" % n).number for n in range(3)]
    owned.confirm()
    owned.store.report()
    numbers += [owned.located(b"m%d" % n).number for n in range(3)]

    assert len(set(numbers)) == 6
    assert numbers == sorted(numbers)
