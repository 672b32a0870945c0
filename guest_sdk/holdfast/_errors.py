"""What an actor's code may raise or catch, and how an error crosses the boundary to the host.

On the wire an error is one JSON object: `name`, `message`, `code`, `status`, `retryable`, for the host's log alone
`traceback`, and `drop` where the sandbox had better not go on. The names are fixed by the contract in `wit/`; nothing
here knows where an error was caught.
"""

from __future__ import annotations

import json
import traceback
from typing import Any, Final

TRACEBACK_CHARS_MAX: Final = 16_384
MESSAGE_CHARS_MAX: Final = 16_384

# Frames that tell an author nothing: the SDK, and the import machinery around a module that fails while it is built.
_NOT_THE_AUTHORS: Final = (__file__.rpartition("/")[0] + "/", "<frozen importlib", "/python/importlib/")

# What Python says where somebody awaits what is no awaitable: from 3.11 on, and in asyncio.
_AWAITS: Final = (
    "a coroutine or an awaitable is required", "a coroutine was expected", "asynchronous context manager",
    "be awaited", "requires an object with __aiter__", "used in 'await' expression",
)  # fmt: skip
_NO_AWAIT: Final = (
    "; calls of storage and of stubs are done when they return: they need no await, no async for and no async with"
)

# What a failed call may let through to the outermost caller under its own name.
PASSED_THROUGH: Final = frozenset({"ActorError", "ActorReentrancyError", "ActorDeadlockError"})


class ActorError(Exception):
    """Refuse a call: the turn commits nothing, the caller gets this code and status.

    Example:
        raise ActorError("insufficient funds", code="insufficient_funds", status=409)

    Args:
        message: What the caller reads.
        code: A short word for programs, if you like.
        status: The HTTP status of the answer, 400 to 499.
    """

    def __init__(self, message: str, *, code: str | None = None, status: int = 400) -> None:
        if type(status) is not int or not 400 <= status <= 499:
            raise ValueError(f"the status of an ActorError is 400 to 499, not {status!r}")
        if code is not None and not isinstance(code, str):
            raise TypeError(f"the code of an ActorError is a str, not {type(code).__name__}")
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class CodecError(Exception):
    """A value cannot be stored or passed; the message names the path to what is wrong in it."""


class LimitError(Exception):
    """A limit was passed (key, value, one turn's writes, one page); the message names value and limit."""


class HostError(Exception):
    """The host could not do what a storage or alarm call asked for.

    Attributes:
        name: Which error it is, such as `UnsupportedError` or `ActorOutputGateError`.
        message: Its sentence.
        retryable: Whether the same turn may succeed later.
    """

    def __init__(self, name: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.retryable = retryable


class ActorCallError(Exception):
    """A call to another actor failed.

    Attributes:
        name: Which error it was there, such as `ActorError`, `ActorMethodError` or `MailboxFullError`.
        message: Its sentence.
        code: The code of an `ActorError`, where it had one.
        retryable: Whether the same call may succeed later and is known to have changed nothing.
    """

    def __init__(
        self,
        name: str,
        message: str,
        *,
        code: str | None = None,
        retryable: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.code = code
        self.retryable = retryable
        self.status = status


class CallRefusedError(Exception):
    """The SDK refuses the call itself: no such method, arguments that do not fit, a result that cannot be encoded."""

    def __init__(self, name: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.status = status


def sentence_of(failure: BaseException) -> str:
    """`ValueError: no such cart`, whatever the exception's own methods do."""
    name = type(failure).__name__
    if isinstance(failure, HostError):
        name = failure.name
    try:
        text = str(failure)
    except BaseException:
        text = "(its text could not be made: str() raised)"
    return f"{name}: {text}"[:MESSAGE_CHARS_MAX] if text else name


def error_json(failure: BaseException, name: str = "ActorMethodError") -> str:
    """The error as the host reads it; an error that stands for itself keeps its name, any other goes by `name`."""
    try:
        facts = _error_facts(failure, name)
        if _is_out_of_memory(failure):
            facts["drop"] = True
        return json.dumps(facts, separators=(",", ":"))
    except BaseException as odd:
        facts = {"name": name, "message": type(failure).__name__, "drop": isinstance(odd, MemoryError)}
        return json.dumps(facts)


def _error_facts(failure: BaseException, name: str) -> dict[str, Any]:
    if isinstance(failure, CallRefusedError):
        return _facts(failure.name, failure.message, status=failure.status)
    if name == "ActorMethodError":
        if isinstance(failure, ActorError):
            return _facts("ActorError", str(failure), code=failure.code, status=failure.status)
        if isinstance(failure, ActorCallError) and failure.name in PASSED_THROUGH:
            status, retryable = failure.status, failure.retryable
            return _facts(failure.name, failure.message, code=failure.code, status=status, retryable=retryable)
    sentence = sentence_of(failure)
    if isinstance(failure, TypeError) and any(each in sentence for each in _AWAITS):
        sentence += _NO_AWAIT
    facts = _facts(name, sentence)
    trace = traceback_of(failure)
    return {**facts, "traceback": trace} if trace else facts


def _facts(
    name: str, message: str, *, code: str | None = None, status: int | None = None, retryable: bool = False
) -> dict[str, Any]:
    return {"name": name, "message": message, "code": code, "status": status, "retryable": retryable}


def _is_out_of_memory(failure: BaseException) -> bool:
    """Whether it is a MemoryError, or came of one: what was allocated until then may fill the sandbox for good."""
    pending: list[BaseException | None] = [failure]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, MemoryError):
            return True
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        pending += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions
    return False


def traceback_of(failure: BaseException) -> str:
    """The traceback, without frames that are not the author's; empty where even that cannot be made."""
    try:
        found = traceback.TracebackException.from_exception(failure)
        pending: list[traceback.TracebackException | None] = [found]
        while pending:
            each = pending.pop()
            if each is not None:
                own = [frame for frame in each.stack if not frame.filename.startswith(_NOT_THE_AUTHORS)]
                each.stack[:] = own or each.stack
                pending += [each.__cause__, each.__context__, *(each.exceptions or ())]
        return "".join(found.format())[-TRACEBACK_CHARS_MAX:]
    except BaseException:
        return ""
