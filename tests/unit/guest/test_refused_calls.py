"""What a refused host call leaves behind: nothing that only the collector could free."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from holdfast import (
    ActorCallError,
    ActorError,
    ActorStub,
    AlarmInfo,
    CodecError,
    Context,
    Env,
    HostError,
    LimitError,
    Request,
    Response,
    StatefulActor,
    Storage,
)
from holdfast._calls import ActorNamespace
from holdfast._describe import Component
from holdfast._exports import Guest
from holdfast._host_imports import Err, HostImports
from holdfast._log_capture import Output
from tests.unit.guest.memory_host import MemoryLog

LARGE = "x" * 100_000
FAR = datetime(2090, 1, 1, tzinfo=UTC)


def refuses(name: str) -> Callable[..., NoReturn]:
    """An import as componentize-py generates it: a variable of the frame that raises the error holds it."""

    def serve(*arguments: Any) -> NoReturn:
        result = Err(json.dumps({"name": name, "message": "no", "arguments": len(arguments)}))
        raise result

    return serve


class Refusing:
    """An interface of which every function refuses, but those that are named."""

    def __init__(self, name: str, **working: Callable[..., Any]) -> None:
        self.__dict__.update(working)
        self._serve = refuses(name)

    def __getattr__(self, function: str) -> Callable[..., NoReturn]:
        return self._serve


def storage(name: str, **working: Callable[..., Any]) -> Storage:
    refusing: Any = Refusing(name, **working)
    return Storage(refusing, refusing)


def stub(name: str) -> ActorStub:
    refusing: Any = Refusing(name)
    return ActorNamespace("ACCOUNT", "Account", refusing).id_from_name("alice")


def _block(name: str, *, fails: bool) -> None:
    """A block that the host lets begin, and does not let end."""
    with storage(name, open_savepoint=lambda: 1).transaction():
        if fails:
            raise ValueError(LARGE)


REFUSED: dict[str, Callable[[str], Any]] = {
    "get": lambda name: storage(name).get(LARGE),
    "get-many": lambda name: storage(name).get_many([LARGE]),
    "put": lambda name: storage(name).put("k", LARGE),
    "put-many": lambda name: storage(
        name, open_savepoint=lambda: 1, rollback_savepoint=lambda savepoint: None
    ).put_many({"k": LARGE}),
    "delete": lambda name: storage(name).delete(LARGE),
    "list": lambda name: storage(name).list(prefix=LARGE),
    "scan": lambda name: list(storage(name).scan(prefix=LARGE)),
    "delete-all": lambda name: storage(name).delete_all(),
    "savepoint": lambda name: storage(name).transaction().__enter__(),
    "release": lambda name: _block(name, fails=False),
    "rollback": lambda name: _block(name, fails=True),
    "sync": lambda name: storage(name).sync(),
    "alarms.set": lambda name: storage(name).set_alarm(FAR),
    "alarms.get": lambda name: storage(name).get_alarm(),
    "alarms.delete": lambda name: storage(name).delete_alarm(),
    "calls.call": lambda name: stub(name).deposit(LARGE, note=LARGE),
    "calls.fetch": lambda name: stub(name).fetch(Request("/", "POST", {}, LARGE)),
}

# What the SDK refuses itself, before or after it has asked the host.
HELD: Any = SimpleNamespace(get=lambda key: '{"$hf":"odd","v":1}', list=lambda *_: '{"entries":[["k",{"$hf":"odd"}]]}')
MISTAKEN: dict[str, Callable[[], Any]] = {
    "a value that cannot be stored": lambda: storage("LimitError").put("k", [LARGE, {"deep": print}]),
    "a cycle": lambda: _put_a_cycle(),
    "a key that is no text": lambda: storage("LimitError").put(LARGE.encode(), 1),  # type: ignore[arg-type]
    "a reserved key": lambda: storage("LimitError").delete("__holdfast_" + LARGE),
    "a stored value that cannot be read": lambda: Storage(HELD, HELD).get("k"),
    "a listed value that cannot be read": lambda: Storage(HELD, HELD).list(),
    "no time": lambda: storage("LimitError").set_alarm(1e12),
    "an argument that cannot be passed": lambda: stub("LimitError").deposit(LARGE, print),
    "a name that is none": lambda: ActorNamespace("A", "A", HELD).id_from_name(LARGE),
    "a request that is none": lambda: stub("LimitError").fetch(LARGE),  # type: ignore[arg-type]
}


def _put_a_cycle() -> None:
    ring: list[Any] = [LARGE]
    ring.append(ring)
    try:
        storage("LimitError").put("k", ring)
    finally:
        ring.clear()  # the author's own, not the SDK's


def left_by(run: Callable[[], Any]) -> int:
    """How many objects it leaves that only the collector frees, which is off while it runs."""
    gc.collect()
    gc.disable()
    try:
        with suppress(Err, LimitError, CodecError, HostError, ActorCallError, ValueError, TypeError):
            run()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["LimitError", "CodecError", "ActorOutputGateError"])
@pytest.mark.parametrize("function", REFUSED)
def test_a_refused_import_leaves_nothing_for_the_collector(function: str, name: str) -> None:
    run = REFUSED[function]

    assert left_by(lambda: run(name)) == 0


@pytest.mark.parametrize("mistake", MISTAKEN)
def test_what_the_sdk_refuses_itself_leaves_nothing_for_the_collector(mistake: str) -> None:
    assert left_by(MISTAKEN[mistake]) == 0


class Failing(StatefulActor):
    """Fails in every way that an export has an answer to."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        if ctx.name == "unmade":
            raise ValueError(LARGE)

    def put(self, value: Any) -> None:
        self.ctx.storage.put("k", value)

    def call_other(self, value: Any) -> None:
        self.env.OTHER.id_from_name("other").take(value)

    def fail(self, value: Any) -> None:
        raise ValueError(value)

    def fail_while_failing(self, value: Any) -> None:
        try:
            self.put(value)
        except LimitError:
            self.call_other(value)

    def refuse(self, value: Any) -> None:
        raise ActorError(value)

    def odd(self, value: Any) -> Any:
        return [value, print]

    async def wait(self, value: Any) -> Any:
        await Never()

    def alarm(self, info: AlarmInfo) -> None:
        self.fail(LARGE)

    def fetch(self, request: Request) -> Response:
        self.put(request.text())
        return Response()


class Never:
    """What no turn can wait for."""

    def __await__(self) -> Generator[str]:
        yield LARGE


ENVIRONMENT = '{"bindings":{"OTHER":"Failing"}}'


def failing_guest() -> Guest:
    refusing: Any = Refusing("LimitError")
    output = Output()
    output.connect(MemoryLog())
    guest = Guest(
        Component({"Failing": Failing}, None),
        HostImports(refusing, refusing, refusing, MemoryLog(), refusing, refusing, refusing),
        output,
    )
    guest.activate("Failing", "alice", ENVIRONMENT)
    return guest


def _call(method: str, guest: Guest) -> str:
    return guest.call(method, json.dumps([LARGE]), False, True)


def job(method: str, *args: str) -> str:
    arguments = {"$hf": "arguments", "v": [args, {}]}
    facts = {"id": "5", "kind": "run", "method": method, "arguments": arguments, "scheduled_us": 5, "retry_count": 0}
    return json.dumps(facts)


METHODS = ["put", "call_other", "fail", "fail_while_failing", "refuse", "odd", "wait", "missing", "_private"]
TURNS: dict[str, Callable[[Guest], Any]] = {
    **{each: partial(_call, each) for each in METHODS},
    "arguments that do not fit": lambda guest: guest.call("put", json.dumps([LARGE, LARGE]), False, False),
    "typed ones that do not fit": lambda guest: guest.call("put", json.dumps([LARGE, LARGE]), True, False),
    "no JSON": lambda guest: guest.call("put", f'["{LARGE}', False, False),
    "no typed JSON": lambda guest: guest.call("put", f'["{LARGE}', True, False),
    "no arguments": lambda guest: guest.call("put", json.dumps(LARGE), False, False),
    "an alarm": lambda guest: guest.alarm('{"retry_count":0,"scheduled_us":5}'),
    "a request": lambda guest: guest.fetch(Request("/", "POST", {}, LARGE).to_wire()),
    "a job": lambda guest: guest.job(job("put", LARGE)),
    "a job whose arguments do not fit": lambda guest: guest.job(job("put", LARGE, LARGE)),
    "a job that cannot be": lambda guest: guest.job(job("missing", LARGE)),
    "no request": lambda guest: guest.fetch(f'["{LARGE}'),
    "a constructor": lambda guest: guest.activate("Failing", "unmade", ENVIRONMENT),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_that_fails_leaves_nothing_for_the_collector(turn: str) -> None:
    guest = failing_guest()

    assert left_by(lambda: TURNS[turn](guest)) == 0
