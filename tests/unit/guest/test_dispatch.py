from __future__ import annotations

import asyncio
import functools
import json
import sys
from typing import Any, NoReturn

import pytest

from holdfast import ActorCallError, ActorError, Context, StatefulActor
from holdfast._host_imports import Err
from tests.unit.guest.memory_host import Hosted


def traced(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Base(StatefulActor):
    def inherited(self) -> str:
        return "inherited"

    def overridden(self) -> str:
        return "base"


class Mixin:
    def mixed_in(self) -> str:
        return "mixed in"


class UnprintableError(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(3)


class Bank(Mixin, Base):
    rate = 3

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.cache: dict[str, Any] = {}

    def overridden(self) -> str:
        return "bank"

    def both(self, a: Any, b: Any = 2) -> list[Any]:
        return [a, b]

    def only_positions(self, a: Any, /, b: Any = 0) -> list[Any]:
        return [a, b]

    def only_names(self, *, a: Any, b: Any = 0) -> list[Any]:
        return [a, b]

    def anything(self, *args: Any, **kwargs: Any) -> list[Any]:
        return [list(args), kwargs]

    @traced
    def wrapped(self, a: int) -> int:
        return a

    async def awaited(self, a: int) -> int:
        async def inner() -> int:
            return a + 1

        return await inner()

    async def waits(self) -> None:
        await asyncio.sleep(1)

    async def fails_async(self) -> None:
        raise ValueError("later")

    def type_error(self, a: Any) -> Any:
        return len(a)

    def raises(self, kind: str) -> None:
        failures = {
            "key": KeyError("k"),
            "empty": ValueError(),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
        }
        raise failures[kind]

    def unprintable(self) -> None:
        raise UnprintableError

    def refuses(self) -> None:
        raise ActorError("insufficient funds", code="insufficient_funds", status=409)

    def passes_on(self, name: str) -> None:
        raise ActorCallError(name, "what happened", code="c", status=418, retryable=True)

    def cycle(self) -> Any:
        found: list[Any] = []
        found.append(found)
        return found

    def surrogate(self) -> str:
        return "\ud800"

    def deep(self) -> Any:
        return self.deep()

    def typed(self) -> Any:
        return {"pair": (1, 2)}

    @property
    def a_property(self) -> int:
        raise AssertionError("nobody may evaluate it")

    @staticmethod
    def a_static() -> int:
        return 1

    @classmethod
    def a_class_method(cls) -> int:
        return 1

    def _hidden(self) -> int:
        return 1

    def alarm(self, info: Any) -> None: ...

    def fetch(self, request: Any) -> Any: ...


@pytest.fixture
def bank() -> Hosted:
    return Hosted(Bank)


@pytest.mark.parametrize(
    ("method", "arguments", "result"),
    [
        ("inherited", "", "inherited"),
        ("overridden", "{}", "bank"),
        ("mixed_in", "[]", "mixed in"),
        ("both", "[1]", [1, 2]),
        ("both", '{"b":1,"a":null}', [None, 1]),
        ("both", " [1, 2] ", [1, 2]),
        ("only_positions", "[1]", [1, 0]),
        ("only_names", '{"a":1}', [1, 0]),
        ("anything", "", [[], {}]),
        ("anything", '[1,{"x":2}]', [[1, {"x": 2}], {}]),
        ("anything", '{"$hf":"set","self2":1}', [[], {"$hf": "set", "self2": 1}]),
        ("wrapped", '{"a":1}', 1),
        ("awaited", "[1]", 2),
    ],
)
def test_arguments_bind_by_count_and_name(bank: Hosted, method: str, arguments: str, result: Any) -> None:
    assert bank.call(method, arguments) == result


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("both", "", "Bank.both: missing a required argument: 'a'; it is both(a: Any, b: Any = 2) -> list[Any]"),
        ("both", "[1,2,3]", "too many positional arguments"),
        ("both", '{"a":1,"c":1}', "unexpected keyword argument 'c'"),
        ("both", '{"a":1,"self":1}', "unexpected keyword argument 'self'"),
        ("only_positions", '{"a":1}', "only_positions"),
        ("only_names", "[1]", "only_names"),
        ("only_names", "", "only_names"),
        ("wrapped", "[]", "wrapped(a: int) -> int"),
        ("both", "1", "not int"),
        ("both", "{", "not JSON"),
        ("both", "[NaN]", "not JSON"),
        ("both", "[1e400,1]", "the number 1e400 is out of the range of floats"),
        ("both", f'{{"a":-1E+999,"b":"{"x" * 2000}"}}', "out of the range of floats"),
        ("both", f'[1{"0" * 400}.0,"{"x" * 2000}"]', "out of the range of floats"),
        ("both", "[1] x", "not JSON"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_the_method_runs(
    bank: Hosted, method: str, arguments: str, message: str
) -> None:
    error = bank.error(method, arguments)

    assert error["name"] == "BadArgumentsError"
    assert message in error["message"]


def test_a_type_error_inside_the_method_is_the_methods(bank: Hosted) -> None:
    error = bank.error("type_error", "[1]")

    assert error["name"] == "ActorMethodError"
    assert error["message"].startswith("TypeError: object of type 'int'")


@pytest.mark.parametrize(
    "method",
    ["__init__", "__class__", "_hidden", "_nothing", "alarm", "fetch", "a_property", "a_static", "a_class_method",
     "ctx", "env", "cache", "rate", "socket_message", "socket_close", "socket_error"],
)  # fmt: skip
def test_what_is_not_a_public_function_is_private(bank: Hosted, method: str) -> None:
    assert bank.error(method)["name"] == "ActorPrivateMethodError"


def test_an_unknown_method_is_named_beside_those_there_are(bank: Hosted) -> None:
    error = bank.error("depositt")

    assert error["name"] == "ActorUnknownMethodError"
    assert "awaited, both" in error["message"]


def test_a_coroutine_that_really_waits_is_refused_with_the_reason(bank: Hosted) -> None:
    error = bank.error("waits")

    assert error["name"] == "ActorMethodError"
    assert error["message"].startswith("RuntimeError: asyncio.sleep(1): an actor's turn cannot sleep")


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("raises", '["key"]', "KeyError: 'k'"),
        ("raises", '["empty"]', "ValueError"),
        ("raises", '["exit"]', "SystemExit: 3"),
        ("raises", '["interrupt"]', "KeyboardInterrupt"),
        ("unprintable", "", "UnprintableError: (its text could not be made: str() raised)"),
        ("fails_async", "", "ValueError: later"),
    ],
)
def test_whatever_a_method_raises_leaves_as_an_error(bank: Hosted, method: str, arguments: str, message: str) -> None:
    error = bank.error(method, arguments)

    assert (error["name"], error["message"]) == ("ActorMethodError", message)


def test_endless_recursion_leaves_as_an_error(bank: Hosted) -> None:
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(400)
        error = bank.error("deep")
    finally:
        sys.setrecursionlimit(limit)

    assert error["message"].startswith("RecursionError: ")
    assert bank.call("inherited") == "inherited"


def test_the_traceback_begins_and_ends_in_the_authors_code(bank: Hosted) -> None:
    trace = bank.error("type_error", "[1]")["traceback"]

    assert "in type_error" in trace
    assert "holdfast/_exports.py" not in trace


def test_an_actor_error_keeps_its_code_and_status_and_has_no_traceback(bank: Hosted) -> None:
    error = bank.error("refuses")

    assert error == {
        "name": "ActorError",
        "message": "insufficient funds",
        "code": "insufficient_funds",
        "status": 409,
        "retryable": False,
    }


@pytest.mark.parametrize("name", ["ActorError", "ActorReentrancyError", "ActorDeadlockError"])
def test_three_errors_of_calls_pass_through_as_they_are(bank: Hosted, name: str) -> None:
    error = bank.error("passes_on", json.dumps([name]))

    assert (error["name"], error["message"], error["code"], error["status"]) == (name, "what happened", "c", 418)


def test_any_other_error_of_a_call_becomes_the_callers(bank: Hosted) -> None:
    error = bank.error("passes_on", '["MailboxFullError"]')

    assert error["name"] == "ActorMethodError"
    assert error["message"] == "ActorCallError: MailboxFullError: what happened"
    assert not error["retryable"]


def test_a_result_that_cannot_be_encoded_is_a_codec_error_with_its_path(bank: Hosted) -> None:
    error = bank.error("cycle")

    assert error["name"] == "CodecError"
    assert error["message"].startswith("the result of Bank.cycle[0] contains itself")


def test_a_lone_surrogate_leaves_as_an_escape(bank: Hosted) -> None:
    assert bank.guest.call("surrogate", "", False, False) == '"\\ud800"'


def test_results_are_typed_for_those_who_ask(bank: Hosted) -> None:
    assert bank.call("typed") == {"pair": [1, 2]}
    assert bank.call("typed", typed=True) == {"pair": {"$hf": "tuple", "v": [1, 2]}}


def test_typed_arguments_keep_their_types_by_position_and_by_name(bank: Hosted) -> None:
    both = '{"$hf":"arguments","v":[[{"$hf":"tuple","v":[1]}],{"b":{"$hf":"set","v":[2]}}]}'

    result = json.loads(bank.guest.call("both", both, True, True))

    assert result == [{"$hf": "tuple", "v": [1]}, {"$hf": "set", "v": [2]}]


def test_typed_arguments_that_cannot_be_read_are_the_callers_fault(bank: Hosted) -> None:
    for text in ('{"a":{"$hf":"nope","v":1}}', '{"$hf":"tuple","v":[1]}', '{"$hf":"dict","v":[[1,2]]}', "{", "1"):
        error = bank.error("both", text, typed_arguments=True)
        assert (error["name"], error["status"]) == ("CodecError", 400)
    assert bank.error("both", '{"c":1}', typed_arguments=True)["name"] == "BadArgumentsError"


class FailsToStart(StatefulActor):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        raise ActorError("not today", status=409)


class ForgetsSuper(StatefulActor):
    def __init__(self, ctx: Any, env: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("actor", "message"),
    [
        (FailsToStart, "ActorError: not today"),
        (ForgetsSuper, "ForgetsSuper.__init__ must call super().__init__(ctx, env)"),
    ],
)
def test_a_constructor_that_fails_is_an_init_error(actor: type[StatefulActor], message: str) -> None:
    with pytest.raises(Err) as caught:
        Hosted(actor)

    error = json.loads(caught.value.value)
    assert (error["name"], error["message"]) == ("ActorInitError", message)


class Ready(StatefulActor):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.loaded: str = ctx.block_concurrency_while(self._load)

    async def _load(self) -> str:
        self.ctx.storage.put("made", True)
        return f"{self.ctx.type}/{self.ctx.name}/{self.ctx.id}"

    def what(self) -> str:
        return self.loaded


def test_a_constructor_may_write_and_block_concurrency_runs_at_once() -> None:
    hosted = Hosted(Ready, name="名前")

    assert hosted.call("what") == "Ready/名前/名前"
    assert hosted.storage.values == {"made": "true"}


@pytest.mark.parametrize(("took_s", "fails"), [(30.0, False), (30.5, True)])
def test_a_block_that_ran_longer_than_thirty_seconds_fails(
    monkeypatch: pytest.MonkeyPatch, took_s: float, fails: bool
) -> None:
    clock = iter([100.0, 100.0 + took_s])
    context = Context("Sleeper", "x", None, None)  # type: ignore[arg-type]  # they are not asked
    with monkeypatch.context() as patch:
        patch.setattr("holdfast._actor.time.monotonic", lambda: next(clock))
        try:
            found = context.block_concurrency_while(lambda: "done")
        except TimeoutError as error:
            found = str(error)

    assert found == ("block_concurrency_while() took 30.5 s, the limit is 30 s" if fails else "done")


def test_an_alarm_that_nobody_handles_is_an_error_and_not_over() -> None:
    class Deaf(StatefulActor):
        def alarms(self, info: Any) -> None: ...

    with pytest.raises(Err, match=r"ActorUnknownMethodError.*Deaf has no alarm\(self, info\)"):
        Hosted(Deaf).guest.alarm('{"retry_count":0,"scheduled_us":5}')
