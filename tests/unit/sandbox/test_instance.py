"""One live component: its calls, its imports, and the ways in which it is stopped."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from holdfast_host.core.errors import BadRequestError, InternalError, LimitError
from holdfast_host.core.limits import MIB
from holdfast_host.sandbox.engine import LoadedComponent
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from tests.unit.sandbox.conftest import MakeSandbox
from tests.unit.sandbox.turns import TestTurn


def call(sandbox: Sandbox, turn: TestTurn, method: str, arguments: str = "") -> Any:
    ok, text = sandbox.call(turn, method.encode(), arguments.encode(), False, False)
    assert ok, text
    return text.decode()


def ask(sandbox: Sandbox, turn: TestTurn, *imports: list[Any]) -> list[Any]:
    """What the guest's imports answered, each as ["ok", value] or ["err", facts]."""
    answers = json.loads(call(sandbox, turn, "imports", json.dumps(imports)))
    return [[word, json.loads(value) if word == "err" else value] for word, value in answers]


def trap_of(sandbox: Sandbox, turn: TestTurn, method: str, arguments: str = "") -> SandboxTrap:
    with pytest.raises(SandboxTrap) as caught:
        sandbox.call(turn, method.encode(), arguments.encode(), False, False)
    return caught.value


def test_a_call_returns_what_the_guest_returned(sandbox: Sandbox, turn: TestTurn) -> None:
    assert call(sandbox, turn, "echo", '{"ä": "名前"}') == '{"ä": "名前"}'
    assert call(sandbox, turn, "echo", "") == ""


def test_what_a_guest_writes_is_what_it_reads(sandbox: Sandbox, turn: TestTurn) -> None:
    assert call(sandbox, turn, "deposit") == "5"
    assert call(sandbox, turn, "deposit") == "10"
    assert turn.dictionary.kept == {b"balance": b"10"}


def test_an_error_of_the_guest_is_an_outcome_and_the_sandbox_lives_on(sandbox: Sandbox, turn: TestTurn) -> None:
    ok, text = sandbox.call(turn, b"fail", b"", False, False)

    assert (ok, json.loads(text)["name"]) == (False, "ActorError")
    assert call(sandbox, turn, "noop") == "null"


def test_every_export_is_reached(sandbox: Sandbox, turn: TestTurn) -> None:
    assert json.loads(sandbox.describe(turn)[1])["actors"][0]["type"] == "Probe"
    assert sandbox.activate(turn, "Probe", "名".encode(), b"{}")[0]
    assert not sandbox.activate(turn, "Broken", b"x", b"{}")[0]
    assert sandbox.fetch(turn, b'{"method":"GET"}') == (True, b'{"method":"GET"}')
    assert sandbox.alarm(turn, b"due")[0]
    assert turn.lines == [("info", "due")]


def test_every_storage_import_reaches_the_turn(sandbox: Sandbox, turn: TestTurn) -> None:
    answers = ask(
        sandbox,
        turn,
        ["storage", "put", "ä", '{"$hf":"set","v":[]}'],
        ["storage", "put", 'q"', "1"],
        ["storage", "get", "ä"],
        ["storage", "get", "absent"],
        ["storage", "get_many", '["q\\"","absent","ä"]'],
        ["storage", "savepoint"],
        ["storage", "delete", "ä"],
        ["storage", "delete", "ä"],
        ["storage", "rollback"],
        ["storage", "savepoint"],
        ["storage", "release"],
        ["storage", "list", "p", "s", None, "e", True, 1],
        ["storage", "list", "", None, "a", None, False, 1000],
        ["storage", "sync"],
        ["storage", "delete_all"],
    )

    values = [value for _, value in answers]
    assert {word for word, _ in answers} == {"ok"}
    assert values[2:4] == ['{"$hf":"set","v":[]}', ""]
    assert json.loads(values[4]) == [['q"', 1], ["ä", {"$hf": "set", "v": []}]]
    assert values[6:8] == [True, False]
    assert json.loads(values[11]) == {"entries": [["ä", {"$hf": "set", "v": []}]], "next": 'q"'}
    assert json.loads(values[12])["entries"][1][0] == "ä"
    assert turn.dictionary.asked == [(b"p", b"s", None, b"e", True, 1), (b"", None, b"a", None, False, 1000)]
    assert turn.events == ["sync"]
    assert turn.dictionary.kept == {}


def test_a_savepoint_is_ended_by_its_id(sandbox: Sandbox, turn: TestTurn) -> None:
    answers = ask(
        sandbox,
        turn,
        ["storage", "open_savepoint"],
        ["storage", "put", "a", "1"],
        ["storage", "open_savepoint"],
        ["storage", "put", "b", "2"],
        ["storage", "open_savepoint"],
        ["storage", "rollback_savepoint", 2],
        ["storage", "release_savepoint", 2],
        ["storage", "rollback_savepoint", -(1 << 63)],
        ["storage", "release_savepoint", 1],
    )

    assert [value for word, value in answers if word == "ok"] == [1, None, 2, None, 3, None, None]
    assert [(word, value["name"]) for word, value in answers[6:8]] == [("err", "BadRequestError")] * 2
    assert (turn.dictionary.kept, turn.dictionary.savepoints) == ({b"a": b"1"}, [])


@pytest.mark.parametrize("due_us", [0, 1, 1_700_000_000_000_000, 253_402_300_799_999_999])
def test_an_alarm_keeps_its_number(sandbox: Sandbox, turn: TestTurn, due_us: int) -> None:
    answers = ask(sandbox, turn, ["alarms", "get"], ["alarms", "set", due_us], ["alarms", "get"], ["alarms", "delete"])

    assert answers == [["ok", -1], ["ok", None], ["ok", due_us], ["ok", None]]
    assert turn.dictionary.alarm_us is None


@pytest.mark.parametrize("due_us", [-1, -(1 << 63), (1 << 63) - 1, 253_402_300_800_000_000])
def test_an_alarm_outside_of_the_calendar_is_refused(sandbox: Sandbox, turn: TestTurn, due_us: int) -> None:
    [answer] = ask(sandbox, turn, ["alarms", "set", due_us])

    assert (answer[0], answer[1]["name"]) == ("err", "BadRequestError")
    assert turn.dictionary.alarm_us is None


def test_an_error_of_the_host_reaches_the_guest_as_err(sandbox: Sandbox, turn: TestTurn) -> None:
    def refuse(_key: bytes) -> None:
        raise LimitError("key of 481 bytes: ü")

    turn.dictionary.get = refuse  # type: ignore[method-assign, assignment]
    answers = ask(sandbox, turn, ["storage", "get", "k"], ["calls", "call", "B", "n", "m", "[]"])

    assert answers[0][1] == {
        "name": "LimitError",
        "message": "key of 481 bytes: ü",
        "retryable": False,
        "code": None,
        "status": 500,
    }
    assert answers[1][1]["name"] == "UnsupportedError"


@pytest.mark.parametrize("keys", ["", "{", '"ab"', '{"a": 1}', "[1]", "7", '["\\ud800"]', "[" * 100_000])
def test_get_many_of_no_array_of_keys_is_an_error_of_the_guest(sandbox: Sandbox, turn: TestTurn, keys: str) -> None:
    [[word, error]] = ask(sandbox, turn, ["storage", "get_many", keys])

    assert (word, error["name"]) == ("err", "BadRequestError")


def test_text_that_is_not_utf8_is_refused_before_the_guest_sees_it(sandbox: Sandbox, turn: TestTurn) -> None:
    with pytest.raises(BadRequestError, match="UTF-8"):
        sandbox.call(turn, b"echo", b"\xff", False, False)

    assert call(sandbox, turn, "echo", "fine") == "fine"


def test_a_value_that_is_not_utf8_is_our_fault_and_traps(sandbox: Sandbox, turn: TestTurn) -> None:
    turn.dictionary.kept[b"balance"] = b"\xff"
    trap = trap_of(sandbox, turn, "deposit")

    assert trap.kind == "fault"
    assert isinstance(trap.__cause__, UnicodeDecodeError)


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("method", ["spin", "hostloop"])
def test_a_turn_that_says_false_to_a_tick_ends_the_guest(sandbox: Sandbox, turn: TestTurn, method: str) -> None:
    assert trap_of(sandbox, turn, method).kind == "ended"
    assert turn.ticks == turn.ticks_max + 1


def test_a_turn_that_says_false_to_a_host_call_ends_the_guest(sandbox: Sandbox, turn: TestTurn) -> None:
    turn.host_calls_max = 100
    assert trap_of(sandbox, turn, "hostloop").kind == "ended"
    assert turn.host_calls == 101


@pytest.mark.parametrize(
    ("method", "kind"), [("panic", "unreachable"), ("exit", "exit"), ("deep", "stack"), ("sleep", "sleep")]
)
def test_a_guest_that_is_stopped_says_how(sandbox: Sandbox, turn: TestTurn, method: str, kind: str) -> None:
    trap = trap_of(sandbox, turn, method, "0.01")

    assert trap.kind == kind
    assert trap.message
    assert "backtrace" in trap.backtrace or kind == "exit"


def test_after_a_trap_every_call_is_refused_until_it_is_closed(sandbox: Sandbox, turn: TestTurn) -> None:
    trap_of(sandbox, turn, "panic")
    assert trap_of(sandbox, turn, "noop").kind == "broken"
    sandbox.close()
    sandbox.close()
    with pytest.raises(InternalError, match="closed"):
        sandbox.call(turn, b"noop", b"", False, False)


def test_a_closed_sandbox_is_forgotten_by_its_engine(make_sandbox: MakeSandbox, probe: LoadedComponent) -> None:
    before = len(probe.engine.guests)
    sandbox = make_sandbox()
    assert len(probe.engine.guests) == before + 1
    sandbox.close()
    assert len(probe.engine.guests) == before


def test_a_sandbox_that_cannot_be_made_leaves_nothing(make_sandbox: MakeSandbox, probe: LoadedComponent) -> None:
    before = len(probe.engine.guests)
    with pytest.raises(SandboxTrap, match=r"than the limit: it starts with \d+ MiB; the limit is memory_mib") as caught:
        make_sandbox(memory_bytes_max=1 * MIB)

    assert caught.value.kind == "memory"
    assert len(probe.engine.guests) == before


def test_memory_past_the_limit_is_an_error_inside_the_guest(sandbox: Sandbox, turn: TestTurn) -> None:
    assert call(sandbox, turn, "hog", "200") == '"MemoryError"'
    assert call(sandbox, turn, "noop") == "null"


def test_a_turn_may_run_inside_an_import_of_another_sandbox(make_sandbox: MakeSandbox, turn: TestTurn) -> None:
    outer, inner, inner_turn = make_sandbox(), make_sandbox(), TestTurn()
    turn.on_call = lambda _binding, _name, method, _arguments: call(inner, inner_turn, method).encode()
    answers = ask(outer, turn, ["calls", "call", "B", "n", "deposit", "[]"], ["storage", "put", "outer", "1"])

    assert answers == [["ok", "5"], ["ok", None]]
    assert turn.dictionary.kept == {b"outer": b"1"}
    assert inner_turn.dictionary.kept == {b"balance": b"5"}


def test_a_trap_inside_an_import_stays_with_its_own_sandbox(make_sandbox: MakeSandbox, turn: TestTurn) -> None:
    outer, inner, inner_turn = make_sandbox(), make_sandbox(), TestTurn()

    def run(*_: object) -> bytes:
        assert trap_of(inner, inner_turn, "panic").kind == "unreachable"
        return b"null"

    turn.on_call = run
    assert ask(outer, turn, ["calls", "call", "B", "n", "m", "[]"]) == [["ok", "null"]]
    assert call(outer, turn, "noop") == "null"


def test_re_entering_a_sandbox_from_its_own_import_is_refused(sandbox: Sandbox, turn: TestTurn) -> None:
    refused: list[str] = []

    def reenter(*_: object) -> bytes:
        for attempt in (lambda: call(sandbox, turn, "noop"), sandbox.close):
            with pytest.raises(InternalError, match="while its guest runs") as caught:
                attempt()
            refused.append(caught.value.message)
        return b"null"

    turn.on_call = reenter
    ask(sandbox, turn, ["calls", "call", "B", "n", "m", "[]"])

    assert len(refused) == 2


def test_a_second_thread_is_refused_while_a_guest_runs(sandbox: Sandbox, turn: TestTurn) -> None:
    refused: list[BaseException] = []

    def intrude() -> None:
        try:
            call(sandbox, TestTurn(), "noop")
        except InternalError as error:
            refused.append(error)

    def from_another_thread(*_: object) -> bytes:
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        return b"null"

    turn.on_call = from_another_thread
    ask(sandbox, turn, ["calls", "call", "B", "n", "m", "[]"])

    assert len(refused) == 1


def test_guests_nest_as_deep_as_calls_may_on_a_thread_of_the_host(probe: LoadedComponent) -> None:
    """Each level fills its own stack to the end before the next one starts inside it."""
    depth_max = probe.engine.limits.call_depth_max + 1
    events: list[int] = []

    def descend(depth: int) -> bytes:
        turn = TestTurn()
        sandbox = Sandbox.create(probe, turn, memory_bytes_max=64 * MIB)
        try:
            if depth < depth_max:
                turn.on_call = lambda *_: descend(depth + 1)
                ask(sandbox, turn, ["calls", "call", "B", "n", "m", "[]"])
            events.append(depth)
            assert trap_of(sandbox, turn, "deep").kind == "stack"
        finally:
            sandbox.close()
        return b"null"

    thread = threading.Thread(target=descend, args=(1,))
    thread.start()
    thread.join()

    assert events == list(range(depth_max, 0, -1))
