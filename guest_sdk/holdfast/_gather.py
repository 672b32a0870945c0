"""Several calls at once: `ctx.gather(a.start.deposit(1), b.start.deposit(2))`, and the same awaited in an `async def`.

`stub.start.deposit(5)` is a call that has not left. Whoever gathers calls sends them together and waits for all. In an
event loop a call that is awaited waits until nothing else can run; then all that wait so are sent together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from holdfast._errors import ActorCallError
from holdfast._host_imports import CallsImport, Err, call_error, facts_of
from holdfast._values.codec import decode_json, encode_arguments, encode_json, may_have_tags
from holdfast._values.tags import untag

AT_ONCE_MAX: Final = 64
TEXT_BYTES_MAX: Final = 4 << 20  # of the calls that leave together
_TOO_LARGE: Final = "LimitError"
_INSTEAD: Final = {"once": "stub.once(key).start.method(...)", "fetch": "stub.fetch(request), which waits"}


class StartedCall:
    """A call that has not left yet: give it to `gather`, or await it. It is made at most once.

    Awaited in an `async def`, it leaves together with all others that are awaited at that time, as by
    `asyncio.gather`. One that is neither given nor awaited is never made.
    """

    __slots__ = ("_awaited", "_calls", "_made", "_text", "_what")

    def __init__(self, calls: CallsImport, text: str, what: str) -> None:
        self._calls = calls
        self._text = text
        self._what = what
        self._made = self._awaited = False

    def __await__(self) -> Generator[Any, None, Any]:
        loop = _running_loop()
        if loop is None:
            return gather(self)[0]
        _check([self])
        self._awaited = True
        try:
            result = yield from loop.started(self, _make_awaited).__await__()
        finally:
            self._awaited = False
        return result

    def __repr__(self) -> str:
        state = "made" if self._made else "awaited" if self._awaited else "not made yet"
        return f"<holdfast call of {self._what}, {state}>"


class Starter:
    """What `stub.start` is: each method of the actor, as a call that does not leave yet."""

    __slots__ = ("_binding", "_calls", "_key", "_name", "_type")

    def __init__(self, binding: str, actor_type: str, name: str, calls: CallsImport, key: str) -> None:
        self._binding = binding
        self._type = actor_type
        self._name = name
        self._calls = calls
        self._key = key

    def __getattr__(self, method: str) -> Callable[..., StartedCall]:
        if method.startswith("_") or not method.isidentifier():
            raise AttributeError(f"{method!r} is no method that a stub can call", name=method, obj=self)
        if method in _INSTEAD:
            raise AttributeError(f"start has no {method}: write {_INSTEAD[method]}", name=method, obj=self)

        def start(*args: Any, **kwargs: Any) -> StartedCall:
            what = f"{self._type}.{method}"
            arguments = encode_arguments(args, kwargs, f"the arguments of {what}")
            head = {"binding": self._binding, "name": self._name, "method": method}
            text = encode_json({**head, "key": self._key} if self._key else head)
            if arguments:
                text = f'{text[:-1]},"arguments":{arguments}}}'
            return StartedCall(self._calls, text, what)

        start.__name__ = start.__qualname__ = method
        return start

    def __repr__(self) -> str:
        return f"<holdfast calls of {self._type}/{self._name}, which do not leave yet>"


def gather(*calls: StartedCall, return_exceptions: bool = False) -> list[Any]:
    """Send several calls at once, and wait for all: ten calls of 100 ms take little more than 100 ms.

    Each is a turn of its instance and a call like any other: with its own queue, errors and commit. None is part of the
    transaction of this turn.

    Example:
        north, south = env.ROOM.id_from_name("north"), env.ROOM.id_from_name("south")
        counts = gather(north.start.count(), south.start.count())

    Args:
        calls: What `stub.start.method(...)` returned, at most 64.
        return_exceptions: Put the `ActorCallError` of a call that failed in its place.

    Returns:
        The results, in the order of the calls.

    Raises:
        ActorCallError: A call failed: the first of them, when all are over.
        ValueError: More than 64 calls.
        RuntimeError: A call has been made before.
    """
    _check(calls)
    outcomes = _make(calls)
    if not return_exceptions:
        for each in outcomes:
            if isinstance(each, ActorCallError):
                raise each
    return outcomes


def _check(calls: Sequence[StartedCall]) -> None:
    """Refuse what cannot be made, before anything is."""
    for each in calls:
        if not isinstance(each, StartedCall):
            raise TypeError(f"gather takes calls as `stub.start.method(...)` makes them, not {type(each).__name__}")
        if each._made or each._awaited:  # noqa: SLF001  (its own module)
            raise RuntimeError(f"{each!r}: a call is made once, start another one")
    if len({id(each) for each in calls}) != len(calls):
        raise RuntimeError("the same call is given twice: a call is made once, start another one")
    if len(calls) > AT_ONCE_MAX:
        raise ValueError(f"{len(calls)} calls at once, the limit is {AT_ONCE_MAX}: gather them in parts")


def _make(calls: Sequence[StartedCall]) -> list[Any]:
    """Make these calls at once; the result of each, or its ActorCallError."""
    if not calls:
        return []
    for each in calls:
        each._made = True  # noqa: SLF001
    try:
        text = calls[0]._calls.call_many(f"[{','.join([each._text for each in calls])}]")  # noqa: SLF001
    except Err as error:
        refusal = call_error(facts_of(error))
        if refusal.name == _TOO_LARGE:  # none was made
            for each in calls:
                each._made = False  # noqa: SLF001
        raise refusal from None
    tagged = may_have_tags(text)
    outcomes: list[Any] = []
    for each, outcome in zip(calls, decode_json(text), strict=True):
        if "error" in outcome:
            outcomes.append(call_error(outcome["error"]))
        else:
            result = outcome["result"]
            outcomes.append(untag(result, f"the result of {each._what}") if tagged else result)  # noqa: SLF001
    return outcomes


def _make_awaited(calls: list[StartedCall]) -> list[Any]:
    """Make as many of them as may leave together; they know nothing of each other, so one that may not is none's."""
    size_bytes = 0
    some: list[StartedCall] = []
    for each in calls[:AT_ONCE_MAX]:
        size_bytes += len(each._text.encode()) + 2  # noqa: SLF001  (and a comma or bracket)
        if some and size_bytes > TEXT_BYTES_MAX:
            break
        some.append(each)
    try:
        return _make(some)
    except ActorCallError as error:
        if error.name != _TOO_LARGE:
            raise
        return [error] if len(some) == 1 else [_make_awaited([each])[0] for each in some]


def _running_loop() -> Any:
    """The loop that runs, where a turn has one; it is nothing that a module imports which does not need it."""
    asyncio = sys.modules.get("asyncio.events")
    loop = asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001
    return loop if hasattr(loop, "started") else None
