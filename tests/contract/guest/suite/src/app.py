"""The actors of the conformance suite: what a test wants done is sent along as steps, where it can be."""

import asyncio
import json
import logging
import sys
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import sleep as copied_sleep
from typing import Any, NoReturn

from asker import Asker  # type: ignore[import-not-found]  # beside this module: mypy looks from the root
from blocks import Blocks  # type: ignore[import-not-found]
from doors import Awaits, Doors  # type: ignore[import-not-found]
from gathering import Gathering  # type: ignore[import-not-found]
from jobbing import Callee, Daily, Leaving, scheduled  # type: ignore[import-not-found]
from keyed import Keyed  # type: ignore[import-not-found]
from meeting import Meeting  # type: ignore[import-not-found]
from pieces import Piecewise, respond  # type: ignore[import-not-found]
from refused import Refused  # type: ignore[import-not-found]
from scans import Scans  # type: ignore[import-not-found]

from holdfast import (
    ActorCallError,
    ActorError,
    AlarmInfo,
    CodecError,
    Context,
    Env,
    HostError,
    LimitError,
    Request,
    Response,
    StatefulActor,
    http,
)

__all__ = [
    "Asker",
    "Awaits",
    "Blocks",
    "Callee",
    "Caller",
    "Daily",
    "Doors",
    "Gathering",
    "Keyed",
    "Leaving",
    "Made",
    "Meeting",
    "Piecewise",
    "Probe",
    "Refused",
    "Scans",
    "Shapes",
    "Timer",
    "fetch",
    "scheduled",
]


class Opaque:
    """What no codec knows."""

    def __repr__(self) -> str:
        return "<opaque>"


def unstorable(kind: str) -> Any:
    """A value that cannot be stored, by what is wrong with it."""
    cycle: list[Any] = []
    cycle.append({"back": cycle})
    return {
        "function": unstorable,
        "lambda": lambda: None,
        "instance": Opaque(),
        "class": Opaque,
        "generator": iter([1]),
        "cycle": cycle,
        "complex": 1j,
        "range": range(3),
        "bytearray": bytearray(b"x"),
        "subclass": json.JSONDecodeError("x", "y", 0),
    }[kind]


class Probe(StatefulActor):
    """Runs steps against its storage."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.activation = uuid.uuid4().hex
        self.remembered: Any = None

    def do(self, *steps: list[Any]) -> list[Any]:
        """Run steps, each `[name, *arguments]`; what each of them returned."""
        return [self._step(*step) for step in steps]

    def do_then_raise(self, *steps: list[Any]) -> NoReturn:
        self.do(*steps)
        raise ValueError("raised on purpose")

    def do_then_refuse(self, *steps: list[Any]) -> NoReturn:
        self.do(*steps)
        raise ActorError("refused on purpose", code="on_purpose", status=418)

    def do_then_return(self, value: Any, *steps: list[Any]) -> Any:
        self.do(*steps)
        return value

    def do_in_transaction_then_raise(self, *steps: list[Any]) -> Any:
        """Run steps in a block that fails; what the exception was outside of it."""
        try:
            with self.ctx.storage.transaction():
                self.do(*steps)
                _raise(KeyError("discard"))
        except KeyError as error:
            return repr(error)

    def do_in_transaction(self, *steps: list[Any]) -> list[Any]:
        with self.ctx.storage.transaction():
            return self.do(*steps)

    def nested_transactions(self) -> list[Any]:
        storage = self.ctx.storage
        seen = []
        with storage.transaction():
            storage.put("a", "outer")
            try:
                with storage.transaction():
                    storage.put("a", "inner")
                    storage.put("b", "inner")
                    storage.delete("kept")
                    seen.append(dict(storage.scan()))
                    _raise(LookupError())
            except LookupError:
                seen.append(dict(storage.scan()))
            with storage.transaction():
                storage.put("c", "released")
        return [*seen, dict(storage.scan())]

    def savepoints(self, depth: int) -> int:
        with ExitStack() as stack:
            for _ in range(depth):
                stack.enter_context(self.ctx.storage.transaction())
        return depth

    def sync_then_raise(self) -> NoReturn:
        self.ctx.storage.put("before", 1)
        self.ctx.storage.sync()
        self.ctx.storage.put("after", 1)
        raise ValueError("raised on purpose")

    def scan_keys(self, filters: dict[str, Any]) -> list[str]:
        return [key for key, _ in self.ctx.storage.scan(**filters)]

    def fill(self, count: int, size: int, prefix: str = "k") -> None:
        """Write so many values of that many characters."""
        for number in range(count):
            self.ctx.storage.put(f"{prefix}{number:05}", "x" * size)

    def scan_while_writing(self) -> list[str]:
        """Each key that is seen writes one that is ahead and one that is behind."""
        seen = []
        for key, _ in self.ctx.storage.scan(prefix="s"):
            seen.append(key)
            if len(seen) == 1:
                for number in range(251, 300):
                    self.ctx.storage.delete(f"s{number:03}")
                self.ctx.storage.put("s999", 1)
                self.ctx.storage.put("s0", 1)
        return seen

    def count_scan(self, prefix: str) -> int:
        return sum(1 for _ in self.ctx.storage.scan(prefix=prefix))

    def put_sized(self, key: str, encoded_bytes: int) -> None:
        """Write a text whose encoding has that many bytes."""
        self.ctx.storage.put(key, "x" * (encoded_bytes - 2))

    def return_sized(self, encoded_bytes: int) -> str:
        return "x" * (encoded_bytes - 2)

    def length(self, value: Any) -> int:
        return len(value)

    def return_nested(self, depth: int) -> Any:
        value: Any = 0
        for _ in range(depth):
            value = [value]
        return value

    def put_unstorable(self, kind: str) -> Any:
        """What is said of a value that cannot be stored, deep inside another one."""
        try:
            self.ctx.storage.put("k", {"a": [1, {"b": unstorable(kind)}]})
        except CodecError as error:
            return [str(error), self.ctx.storage.get("k", "absent")]
        return "stored"

    def put_many_unstorable(self) -> Any:
        try:
            self.ctx.storage.put_many({"a": 1, "b": unstorable("instance")})
        except CodecError as error:
            return [str(error), dict(self.ctx.storage.scan())]
        return "stored"

    def return_unstorable(self, kind: str) -> Any:
        return {"a": unstorable(kind)}

    def put_surrogate_key(self) -> str:
        try:
            self.ctx.storage.put("a\ud800", 1)
        except ValueError as error:
            return str(error)
        return "stored"

    def get_copies(self) -> list[Any]:
        """A value that was read and changed is not the one that is stored."""
        self.ctx.storage.put("list", [1])
        self.ctx.storage.get("list").append(2)
        return [self.ctx.storage.get("list")]

    def put_then_change(self) -> Any:
        value = [1]
        self.ctx.storage.put("list", value)
        value.append(2)
        return self.ctx.storage.get("list")

    def types(self, value: Any) -> Any:
        """The name of the type of an argument, and the argument."""
        return [type(value).__name__, value]

    def many_host_calls(self, count: int) -> int:
        get_alarm = self.ctx.storage.get_alarm
        for _ in range(count):
            get_alarm()
        return count

    def remember(self, value: Any) -> None:
        self.remembered = value

    def recall(self) -> list[Any]:
        return [self.activation, self.remembered]

    def about(self) -> dict[str, Any]:
        ctx = self.ctx
        return {"name": ctx.name, "id": ctx.id, "type": ctx.type}

    def variables(self) -> list[Any]:
        return [self.env.GREETING, self.env.EMPTY, sorted(self.env), hasattr(self.env, "MISSING")]

    def missing_variable(self) -> Any:
        return self.env.MISSING

    def change_env(self) -> None:
        self.env.GREETING = "other"

    def block(self) -> list[Any]:
        async def later() -> int:
            return 2

        def now() -> int:
            self.ctx.storage.put("blocked", 1)
            return 1

        block = self.ctx.block_concurrency_while
        return [block(now), block(later), self.ctx.storage.get("blocked")]

    def block_and_raise(self) -> None:
        def fail() -> NoReturn:
            raise ValueError("inside the block")

        self.ctx.block_concurrency_while(fail)

    def alarm(self, info: AlarmInfo) -> None:
        self.ctx.storage.put("rang", info.retry_count)

    # Output.

    def say(self) -> None:
        print("one", 2)
        print("two\nthree")
        print("half", end="")
        print(" whole")
        sys.stderr.write("to stderr\n")
        logging.info("root info")
        logging.getLogger("shop").warning("low on %s", "tea")
        logging.getLogger("shop").error("no tea")
        logging.getLogger("shop").debug("not shown")
        print("not ended", end="")

    def say_and_raise(self) -> None:
        print("said before it failed")
        raise ValueError("after saying")

    def say_text(self, text: str) -> None:
        print(text)

    def sleep(self) -> None:
        time.sleep(0.01)

    def sleep_by_a_copied_name(self) -> None:
        copied_sleep(0.01)

    def now(self) -> list[Any]:
        """What all of Python's clocks say."""
        return [time.time(), datetime.now(UTC), datetime.now()]

    # Steps.

    def _step(self, name: str, *arguments: Any) -> Any:
        if name == "try":
            return self._try(*arguments)
        if name == "scan":
            return [[key, value] for key, value in self.ctx.storage.scan(**(arguments[0] if arguments else {}))]
        if name == "list":
            return list(self.ctx.storage.list(**(arguments[0] if arguments else {})).items())
        if name == "put_sized":
            return self.put_sized(*arguments)
        if name == "get_many":
            return list(self.ctx.storage.get_many(*arguments).items())
        return getattr(self.ctx.storage, name)(*arguments)

    def _try(self, *step: Any) -> Any:
        try:
            return self._step(*step)
        except (CodecError, LimitError, HostError, ValueError, TypeError, RuntimeError) as error:
            return [type(error).__name__, str(error)]


class Mixin:
    def mixed_in(self) -> str:
        return "mixed in"


class Base(StatefulActor):
    def inherited(self) -> str:
        return "inherited"

    def overridden(self) -> str:
        return "base"


class UnprintableError(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")


class Shapes(Mixin, Base):
    """Every shape of method, and every way to fail."""

    constant = 3

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.attribute = 1
        self.callback = lambda: 1

    def nothing(self) -> None:
        pass

    def two(self, a: Any, b: Any = "default") -> list[Any]:
        return [a, b]

    def annotated(self, amount: int, when: datetime) -> list[Any]:
        return [amount, when]

    def only_positions(self, a: Any, /, b: Any = 0) -> list[Any]:
        return [a, b]

    def only_names(self, *, a: Any, b: Any = 0) -> list[Any]:
        return [a, b]

    def anything(self, *args: Any, **kwargs: Any) -> list[Any]:
        return [list(args), kwargs]

    def overridden(self) -> str:
        return f"shapes over {super().overridden()}"

    async def awaited(self, a: int) -> int:
        async def inner() -> int:
            return a + 1

        return await inner()

    async def waits(self) -> None:
        await asyncio.sleep(1)

    async def fails_later(self) -> None:
        raise ValueError("later")

    @property
    def computed(self) -> int:
        raise AssertionError("nobody may evaluate it")

    @staticmethod
    def static() -> int:
        return 1

    @classmethod
    def of_class(cls) -> int:
        return 1

    class Inner:
        pass

    def _private(self) -> int:
        return 1

    def type_error_inside(self, a: Any) -> Any:
        return a + "text"

    def wrong_call_inside(self) -> Any:
        return self.two()  # type: ignore[call-arg]

    def raises(self, kind: str) -> NoReturn:
        failures: dict[str, BaseException] = {
            "value": ValueError("no such cart"),
            "empty": ValueError(),
            "key": KeyError("k"),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
            "own": UnprintableError(),
            "group": ExceptionGroup("several", [ValueError("a"), TypeError("b")]),
            "base": BaseException("base"),
            "codec": CodecError("own words"),
            "limit": LimitError("own words"),
            "stop": StopIteration(3),
            "long": ValueError("x" * 10_000),
            "unicode": ValueError("名前 \ud800"),
        }
        raise failures[kind]

    def recurses(self) -> Any:
        return self.recurses()

    def refuses(self) -> NoReturn:
        raise ActorError("insufficient funds", code="insufficient_funds", status=409)

    def refuses_plainly(self) -> NoReturn:
        raise ActorError("no")

    def refuses_with(self, status: Any, code: Any = None) -> NoReturn:
        raise ActorError("no", status=status, code=code)

    def plain(self) -> dict[str, Any]:
        """One of each, for callers who know JSON only."""
        return {
            "datetime": datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC),
            "date": datetime(2026, 11, 1, tzinfo=UTC).date(),
            "time": datetime(2026, 11, 1, 12, 30, tzinfo=UTC).time(),
            "timedelta": timedelta(days=1, milliseconds=500),
            "bytes": b"\x00\xff",
            "decimal": Decimal("1.10"),
            "uuid": uuid.UUID(int=5),
            "set": {3, 1, 2},
            "frozenset": frozenset({"b", "a"}),
            "tuple": (1, "two"),
            "nan": float("nan"),
            "infinity": float("-inf"),
            "int": 10**30,
            "keys": {1: "int", None: "none", (1, 2): "tuple"},
            "float": 1.0,
            "text": 'é名\u0000"\\',
            "tag": {"$hf": "datetime", "v": "not a tag"},
        }

    def two_keys_alike(self) -> Any:
        return {1: "int", "1": "text"}


class Made(StatefulActor):
    """Its constructor does what the beginning of the name says."""

    def __init__(self, ctx: Context, env: Env) -> None:
        kind = ctx.name.partition("-")[0]
        if kind == "nosuper":
            return
        super().__init__(ctx, env)
        storage = self.ctx.storage
        made: int = storage.get("made", 0) + 1
        storage.put("made", made)
        self.made = made
        if kind == "bad":
            raise ValueError("cannot be made")
        if kind == "once" and made == 1:
            storage.sync()
            raise ValueError("cannot be made the first time")
        if kind == "refuses":
            raise ActorError("not today", code="closed", status=423)
        if kind == "alarm":
            storage.set_alarm(timedelta(hours=1))
        if kind == "calls":
            self.called = env.MADE.id_from_name(f"good-{ctx.name}").constructed()

    def constructed(self) -> list[int]:
        """What the constructor counted, and what is stored."""
        return [self.made, self.ctx.storage.get("made")]

    def called_by_constructor(self) -> Any:
        return self.called

    def raise_plainly(self) -> NoReturn:
        raise ValueError("raised on purpose")

    def alarm(self, info: AlarmInfo) -> None:
        pass

    def alarm_set(self) -> bool:
        return self.ctx.storage.get_alarm() is not None


class Timer(StatefulActor):
    """Has alarms; the handler does what is stored under `plan`."""

    def set(self, when: Any) -> datetime | None:
        self.ctx.storage.set_alarm(when)
        return self.ctx.storage.get_alarm()

    def set_refused(self, when: Any) -> list[str]:
        try:
            self.ctx.storage.set_alarm(when)
        except (ValueError, TypeError) as error:
            return [type(error).__name__, str(error)]
        return ["set", str(self.ctx.storage.get_alarm())]

    def set_then_raise(self, when: Any) -> None:
        self.ctx.storage.set_alarm(when)
        raise ValueError("raised on purpose")

    def delete_then_raise(self) -> None:
        self.ctx.storage.delete_alarm()
        raise ValueError("raised on purpose")

    def set_in_discarded_block(self, when: Any) -> datetime | None:
        try:
            with self.ctx.storage.transaction():
                self.ctx.storage.set_alarm(when)
                _raise(LookupError())
        except LookupError:
            return self.ctx.storage.get_alarm()

    def get(self) -> datetime | None:
        return self.ctx.storage.get_alarm()

    def delete(self) -> None:
        self.ctx.storage.delete_alarm()

    def delete_everything(self, keep_alarm: bool = False) -> datetime | None:
        self.ctx.storage.delete_all(keep_alarm=keep_alarm)
        return self.ctx.storage.get_alarm()

    def delete_everything_then_raise(self) -> None:
        self.ctx.storage.delete_all()
        raise ValueError("raised on purpose")

    def stored(self) -> list[str]:
        return [key for key, _ in self.ctx.storage.scan()]

    def plan(self, steps: dict[str, Any], seconds: float) -> datetime | None:
        """`fails`: so many deliveries; `again`: seconds to set it again; `sync`: commit the count before failing.

        When it is due then.
        """
        self.ctx.storage.put("plan", steps)
        self.ctx.storage.set_alarm(timedelta(seconds=seconds))
        return self.ctx.storage.get_alarm()

    def seen(self) -> list[Any]:
        """What each delivery that committed was told."""
        return [value for _, value in self.ctx.storage.scan(prefix="seen/")]

    def synced(self) -> int:
        count: int = self.ctx.storage.get("synced", 0)
        return count

    def alarm(self, info: AlarmInfo) -> None:
        storage = self.ctx.storage
        plan: dict[str, Any] = storage.get("plan", {})
        if plan.get("sync"):
            storage.put("synced", storage.get("synced", 0) + 1)
            storage.sync()
        storage.put("half", info.retry_count)
        print(f"attempt {info.retry_count}")
        if info.retry_count < plan.get("fails", 0):
            raise ValueError(f"attempt {info.retry_count} fails")
        count = sum(1 for _ in storage.scan(prefix="seen/"))
        facts = [info.retry_count, info.is_retry, info.scheduled_time, storage.get_alarm()]
        storage.put(f"seen/{count:03}", facts)
        if count < plan.get("again", 0):
            storage.set_alarm(timedelta(seconds=plan["every"]))
        if "tells" in plan:
            self.env.TIMER.id_from_name(plan["tells"]).note(self.ctx.name)

    def note(self, who: str) -> None:
        self.ctx.storage.put("noted", who)

    def noted(self) -> Any:
        return self.ctx.storage.get("noted")


class Caller(StatefulActor):
    """Calls others."""

    def call(self, binding: str, name: str, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call an actor, and leave everything uncaught."""
        return getattr(getattr(self.env, binding).id_from_name(name), method)(*args, **kwargs)

    def try_call(self, binding: str, name: str, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call an actor; what it said where it failed."""
        try:
            return self.call(binding, name, method, args, kwargs)
        except ActorCallError as error:
            return [error.name, error.message, error.code, error.retryable, str(error)]
        except (CodecError, ValueError, TypeError, AttributeError) as error:
            return [type(error).__name__, str(error)]

    def put_call_raise(self, name: str) -> None:
        self.ctx.storage.put("mine", 1)
        self.env.PROBE.id_from_name(name).do(["put", "theirs", 1])
        raise ValueError("after the call")

    def put_then_call(self, name: str) -> Any:
        """What is written before and after a call is one turn."""
        self.ctx.storage.put("mine", 1)
        theirs = self.env.PROBE.id_from_name(name).do(["put", "theirs", 1], ["get", "theirs"])
        self.ctx.storage.put("mine", self.ctx.storage.get("mine") + 1)
        return [theirs, self.ctx.storage.get("mine")]

    def mine(self) -> Any:
        return self.ctx.storage.get("mine")

    def around(self, names: list[str]) -> Any:
        """Call the first of these, which calls the next one."""
        if not names:
            return "end"
        return self.env.CALLER.id_from_name(names[0]).around(names[1:])

    def around_caught(self, names: list[str]) -> Any:
        """The same, but whoever is told of a failure returns it."""
        if not names:
            return "end"
        try:
            return self.env.CALLER.id_from_name(names[0]).around_caught(names[1:])
        except ActorCallError as error:
            return [error.name, error.message]

    def stubs(self) -> dict[str, Any]:
        named = self.env.PROBE.id_from_name("a", location_hint="weur")
        unique = [self.env.PROBE.new_unique_id() for _ in range(2)]
        return {
            "name": named.name,
            "id": named.id,
            "unique": [each.name for each in unique],
            "equal": named == self.env.PROBE.id_from_name("a"),
        }

    def refuse_stub(self, name: Any) -> str:
        try:
            self.env.PROBE.id_from_name(name)
        except (ValueError, TypeError) as error:
            return f"{type(error).__name__}: {error}"
        return "made"

    def pass_types(self, value: Any) -> Any:
        return self.env.PROBE.id_from_name("types").types(value)

    def pass_opaque(self) -> str:
        try:
            self.env.PROBE.id_from_name("types").types([Opaque()])
        except CodecError as error:
            return str(error)
        return "passed"

    def pass_large(self, size: int) -> Any:
        try:
            return self.env.PROBE.id_from_name("large").length("x" * size)
        except ActorCallError as error:
            return [error.name, error.message]

    def fetch_from(self, name: str, method: str, url: str, body: str) -> Any:
        request = Request(url, method, {"X-One": "1", "x-two": "2"}, body)
        try:
            response = self.env.CALLER.id_from_name(name).fetch(request)
        except ActorCallError as error:
            return [error.name, error.message]
        return [response.status, response.headers.items(), response.text()]

    def fetch_probe(self) -> Any:
        try:
            self.env.PROBE.id_from_name("p").fetch(Request("/"))
        except ActorCallError as error:
            return [error.name, error.message]
        return "answered"

    def fetch(self, request: Request) -> Response:
        if request.path == "/fail":
            self.ctx.storage.put("mine", "never")
            raise ValueError("fetch failed")
        if request.path == "/wrong":
            return "no response"  # type: ignore[return-value]
        self.ctx.storage.put("mine", request.path)
        facts = [request.method, request.url, request.path, request.query, request.headers.get("X-ONE"), request.text()]
        response = Response.json(facts, status=201)
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response


def fetch(request: Request, env: Env) -> Response:
    """The function: what a request looked like, and calls to actors."""
    kind, _, name = request.path.strip("/").partition("/")
    if kind == "call":
        return Response.json({"found": env.PROBE.id_from_name(name).do(["put", "k", 1], ["get", "k"])}, 201)
    if kind == "meet":
        meeting, _, rest = name.partition("/")
        if rest != "ws":
            raise ActorError(f"no way to {rest}")
        answer: Response = env.MEETING.id_from_name(meeting).fetch(request)
        return answer
    if kind == "refuse":
        raise ActorError("not here", code="nowhere", status=404)
    if kind == "refused":
        env.SHAPES.id_from_name(name).refuses()
    if kind == "fail":
        print("before it failed")
        raise ValueError("a secret")
    if kind == "wrong":
        return "text"  # type: ignore[return-value]
    if kind == "bytes":
        return Response(request.body[::-1], headers={"content-type": "image/png", "X-Two": "2"})
    if kind == "outside":
        return http.get(request.json()["url"])
    if kind == "pieces":
        found: Response = respond(request, env, name)
        return found
    if kind == "empty":
        return Response(status=204)
    facts = [request.method, request.path, request.query, request.query_all("a"), request.headers.get("x-ONE")]
    return Response.json([*facts, request.text(), env.GREETING])


def _raise(error: Exception) -> NoReturn:
    raise error
