"""A key takes effect once: the receipt, in the commit of its turn, found before the next one under that key runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.lmdb.keys import pack_receipt, unpack_receipt
from holdfast_host.wire.calls.idempotency import REPLAYED, key_hash
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import Guest, Stage, add

REPLAYED_OK = 200 | REPLAYED


def add_by_another(turn: Turn, target: list[Any]) -> Any:
    """Have another instance add, under a key or none; writes nothing of its own."""
    name, amount, key = target
    return json.loads(turn.call("T", name, "add", json.dumps(amount).encode(), key.encode()))


def own_key(turn: Turn, _: Any) -> str:
    return turn.key().decode()


def add_then_sync_then_fail(turn: Turn, amount: int) -> int:
    add(turn, amount)
    turn.sync()
    raise HoldfastError("refused")


def undo(turn: Turn, amount: int) -> str:
    turn.storage.savepoint()
    add(turn, amount)
    turn.storage.rollback()
    return "undone"


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    guests: dict[bytes, Guest] = {
        b"add_by_another": add_by_another,
        b"own_key": own_key,
        b"add_then_sync_then_fail": add_then_sync_then_fail,
        b"undo": undo,
    }
    return Stage(monkeypatch, Limits(receipt_s=1000), guests=guests)


def call(stage: Stage, name: str, method: str, argument: Any = None, key: str = "k") -> tuple[int, Any]:
    client = stage.client
    return client.wait(client.send(name, method, argument, key=b"c" + key.encode() if key else b""))


def test_a_call_that_is_repeated_under_its_key_has_one_effect_and_the_answer_of_the_first(stage: Stage) -> None:
    answers = [call(stage, "a", "add", 5) for _ in range(3)]

    assert answers == [(200, 5), (REPLAYED_OK, 5), (REPLAYED_OK, 5)]
    assert call(stage, "a", "add", 5, key="another") == (200, 10)
    assert call(stage, "b", "add", 5) == (200, 5), "a key is its instance's"
    assert stage.call("a", "add", 1) == (200, 11)


def test_repeats_that_come_while_the_first_is_under_way_get_its_answer_after_its_commit(stage: Stage) -> None:
    stage.store.hold()
    slots = [stage.client.send("a", "add", 5, key=b"ck") for _ in range(4)]
    stage.store.wait_held()
    early = [slot for slot in slots if stage.client.answered(slot)]
    stage.store.let_go()
    answers = [stage.client.wait(slot) for slot in slots]

    assert early == [], "a kept answer is no sooner durable than the first"
    assert answers == [(200, 5), *[(REPLAYED_OK, 5)] * 3]
    assert stage.call("a", "read") == (200, 5)


def test_a_receipt_that_was_lost_with_its_writes_answers_nobody(stage: Stage) -> None:
    stage.store.lose_next([b"a"])
    status, lost = call(stage, "a", "add", 5)

    assert (status, lost["error"]["name"]) == (507, "StorageFullError")
    assert call(stage, "a", "add", 5) == (200, 5)
    assert call(stage, "a", "add", 5) == (REPLAYED_OK, 5)


@pytest.mark.parametrize(
    ("method", "argument"), [("add", 6), ("read", 5), ("add_sync_add", 5)], ids=["body", "method", "both"]
)
def test_another_call_under_a_key_that_was_used_is_refused_and_does_nothing(
    stage: Stage, method: str, argument: int
) -> None:
    call(stage, "a", "add", 5)
    status, body = call(stage, "a", method, argument)

    assert (status, body["error"]["name"]) == (422, "IdempotencyConflictError")
    assert "'k' was used for another call" in body["error"]["message"]
    assert stage.call("a", "read") == (200, 5)


def test_what_had_no_effect_is_not_kept_and_runs_again(stage: Stage) -> None:
    groups = len(stage.store.groups)
    reads = [call(stage, "a", "read"), call(stage, "a", "undo", 5), call(stage, "a", "read", key="r")]

    assert reads == [(200, 0), (200, "undone"), (200, 0)]
    assert len(stage.store.groups) == groups, "a keyed read writes nothing"


def test_a_turn_that_failed_is_not_kept_and_the_same_key_runs_again(stage: Stage) -> None:
    failed = [call(stage, "a", "fail_after_write", 5), call(stage, "a", "trap_after_write", 5, key="t")]
    later = [call(stage, "a", "add", 5, key="t"), call(stage, "a", "add", 5)]

    assert [status for status, _ in failed] == [500, 500]
    assert later == [(200, 5), (200, 10)]


def test_a_turn_that_had_another_instance_write_is_kept_though_it_wrote_nothing_itself(stage: Stage) -> None:
    answers = [call(stage, "a", "add_by_another", ["b", 5, ""]) for _ in range(2)]

    assert answers == [(200, 5), (REPLAYED_OK, 5)]
    assert stage.call("b", "read") == (200, 5)


@pytest.mark.parametrize("wall_s", [(1 << 32) - 10, 1 << 33])
def test_a_clock_that_says_a_time_past_any_row_ends_no_host(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, wall_s: int
) -> None:
    monkeypatch.setattr(stage.worker.executor.clock, "wall_us", lambda: wall_s * 1_000_000)
    answers = [call(stage, "a", "add", 5) for _ in range(2)]
    kept = stage.store.receipt(stage.store.locate(1, b"a"), key_hash(b"ck"))

    assert answers == [(200, 5), (REPLAYED_OK, 5)]
    assert kept is not None
    assert unpack_receipt(pack_receipt(kept)) == kept


def test_a_call_of_a_guest_under_a_key_has_one_effect_whoever_makes_it(stage: Stage) -> None:
    answers = [call(stage, name, "add_by_another", ["b", 5, "t-1"], key="") for name in ("a", "a", "c")]

    assert answers == [(200, 5)] * 3, "a guest is not told that an answer was kept"
    assert stage.call("b", "read") == (200, 5)
    assert call(stage, "b", "add", 5, key="t-1")[0] == 422, "it says the same with other encodings"


def test_a_turn_that_synced_and_failed_leaves_what_it_synced_and_may_run_again(stage: Stage) -> None:
    statuses = [call(stage, "a", "add_then_sync_then_fail", 5)[0] for _ in range(2)]

    assert statuses == [500, 500]
    assert stage.call("a", "read") == (200, 10)


def test_a_turn_knows_the_key_that_it_runs_under(stage: Stage) -> None:
    assert call(stage, "a", "own_key", key="order-17") == (200, "order-17")
    assert stage.call("a", "own_key") == (200, "")


def test_a_receipt_is_kept_for_as_long_as_the_limit_says_by_the_workers_clock(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.worker.executor.clock, "wall_us", lambda: 2_000_000_000_000_000)
    call(stage, "a", "add", 5)
    kept = stage.store.receipt(stage.store.locate(1, b"a"), key_hash(b"ck"))

    assert kept is not None
    assert kept.expires_s == 2_000_000_000 + 1000


def test_a_kept_answer_activates_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    call(stage, "a", "add", 5)
    entry = stage.do(lambda: stage.worker.directory.find(1, b"a"))
    stage.do(entry.deactivate)

    assert call(stage, "a", "add", 5) == (REPLAYED_OK, 5)
    assert stage.do(lambda: entry.sandbox) is None
