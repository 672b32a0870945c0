"""What the host says of a job that it runs, and how the method that the job names is called with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import FunctionType
from typing import Any, Final

from holdfast._contract import HANDLER_NAMES
from holdfast._errors import ActorCallError, CallRefusedError
from holdfast._host_imports import call_error
from holdfast._jobs.pieces import publish_piece
from holdfast._outbound import HTTP_ERRORS, HttpError, HttpResponse
from holdfast._state.alarms import instant_of
from holdfast._values.annotations import signature_of
from holdfast._values.codec import decode_given, encode_json, untag_arguments
from holdfast._values.tags import untag

INFO: Final = "info"  # the parameter that is filled in
_BY_NAME: Final = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What a method that a job runs is told, where it has a parameter `info`.

    Attributes:
        id: The job's id.
        retry_count: How many runs of it failed before this one; 0 the first time.
        scheduled_time: When it was due, in UTC.
        missed: How many further times of its cron text have passed since, for which this run stands as well.
        cron: Its cron text; None where it has none.
    """

    id: str
    retry_count: int
    scheduled_time: datetime
    missed: int = 0
    cron: str | None = None

    @property
    def is_retry(self) -> bool:
        """Whether an earlier run of it failed."""
        return self.retry_count > 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call or a request that was left to the host; `then` gets it.

    Attributes:
        ok: Whether the call returned, or the request was answered with a status of 200 to 299.
        unknown: Whether nobody can know if it took effect.
        result: What the call returned; None where it did not.
        response: The answer to the request, whatever its status; None where there was none.
        error: Why there is no result and no answer, or why the answer has no body; else None.
        id: The job's id, which was the idempotency key of each try.
        tries: How often it was tried.
    """

    ok: bool
    unknown: bool
    result: Any
    response: HttpResponse | None
    error: ActorCallError | HttpError | None
    id: str
    tries: int


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """What `scheduled(event, env)` of a function is told.

    Attributes:
        cron: Which of the texts in holdfast.toml it runs for.
        scheduled_time: When it was due, in UTC.
        missed: How many further times of that text have passed since, for which this run stands as well.
    """

    cron: str
    scheduled_time: datetime
    missed: int = 0

    @classmethod
    def from_wire(cls, facts: dict[str, Any]) -> ScheduledEvent:
        """From the JSON object that the host hands to the `scheduled` export."""
        return cls(facts["cron"], instant_of(int(facts["scheduled_us"])), int(facts.get("missed", 0)))


def run_job(actor: object | None, label: str, text: str) -> Any:
    """Run the method that the host's text names, or publish; its result, which may be a coroutine.

    Args:
        actor: The instance; None for a function, which has none.
        label: What it is called in errors.
        text: What the host hands to the `job` export.
    """
    facts = decode_given(text)
    if facts["kind"] == "piece":
        return publish_piece(actor, label, facts)
    name = facts["method"]
    if method_of(type(actor), name) is None:
        raise CallRefusedError("ActorUnknownMethodError", f"{label} has no method {name!r} that a job can run")
    args, kwargs = untag_arguments(facts.get("arguments", []))
    if facts["kind"] == "then":
        args = [_outcome(facts, f"the result that {label}.{name} gets")]
    method: Callable[..., Any] = getattr(actor, name)
    if _wants_info(method, args, kwargs):
        scheduled = instant_of(int(facts["scheduled_us"]))
        missed, cron = int(facts.get("missed", 0)), facts.get("cron")
        kwargs = {**kwargs, INFO: JobInfo(facts["id"], int(facts["retry_count"]), scheduled, missed, cron)}
    return method(*args, **kwargs)


def method_of(actor: type, name: str) -> Callable[..., Any] | None:
    """What a job runs of a class under that name; None where it is nothing of the kind."""
    if name in HANDLER_NAMES or (name.startswith("__") and name.endswith("__")):
        return None
    found = getattr(actor, name, None)
    return found if callable(found) and not isinstance(found, type) else None


def _wants_info(method: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> bool:
    """`wants_info` of a method, from its code where that says all: to make a signature takes longer than most runs."""
    function = getattr(method, "__func__", None)
    if type(function) is not FunctionType or vars(function):  # what wraps another function says so there
        return wants_info(signature_of(method), args, kwargs)
    code = function.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]  # without `self`
    if INFO not in names or INFO in kwargs:
        return False
    at = names.index(INFO) + 1
    return at >= code.co_argcount or (at >= code.co_posonlyargcount and at > len(args))


def wants_info(signature: inspect.Signature, args: list[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a method has the parameter `info`, and is not given it already. `signature` is without `self`."""
    parameter = signature.parameters.get(INFO)
    if parameter is None or parameter.kind not in _BY_NAME:
        return False
    try:
        return INFO not in signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return False  # the call says what does not fit


def _outcome(facts: dict[str, Any], what: str) -> Outcome:
    told = facts["outcome"]
    result, response = told.get("result"), told.get("response")
    return Outcome(
        ok=told["ok"],
        unknown=told["unknown"],
        result=untag(result, what),
        response=None if response is None else HttpResponse.from_wire(encode_json(response)),
        error=_error(told.get("error")),
        id=facts["id"],
        tries=int(told["tries"]),
    )


def _error(facts: dict[str, Any] | None) -> ActorCallError | HttpError | None:
    if facts is None:
        return None
    kind = HTTP_ERRORS.get(facts["name"])
    return call_error(facts) if kind is None else kind(facts["message"])
