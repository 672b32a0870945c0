"""Leaving work to the host: what `ctx.schedule`, `ctx.outbox`, `ctx.jobs` and `ctx.cancel` do.

What a job names is checked here, when it is made: it would be too late when it runs.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from holdfast._calls import ActorStub, checked_key
from holdfast._contract import HANDLER_NAMES
from holdfast._host_imports import Err, JobsImport, facts_of, raise_refusal
from holdfast._http import HeaderPairs, Headers
from holdfast._jobs.delivery import INFO, method_of, wants_info
from holdfast._methods import signature_text
from holdfast._outbound import NOTHING, request_of, timeout_ms_of
from holdfast._state.alarms import instant_of, microseconds_of
from holdfast._topics import checked_topic
from holdfast._values.annotations import signature_of
from holdfast._values.codec import decode_json, encode, encode_json

_PAGE_JOBS: Final = 1000
_SECONDS_MAX: Final = 1e9  # of a delay: more than any job may wait


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is not done; what does not apply to it is None.

    Attributes:
        id: What `ctx.cancel` takes; a call or a request has it as its idempotency key.
        kind: `run`, `call` or `http`.
        state: `armed`, `retrying`, `waiting` (its outcome is there, `then` is to run), `abandoned` (kept, and tried no
            more) or `parked` (nothing runs it now).
        due: When it is tried next, in UTC.
        key: What it was given as `key`.
        cron: Its cron text, and `tz` its time zone.
        tz: The time zone of `cron`.
        method: What it runs here, or calls there.
        binding: Where a call goes: the name on `env`, and `name` the instance's.
        name: The name of the instance that it calls.
        url: Where a request goes.
        stream_to: The topic that the answer of a request is published to.
        then: The method that gets the outcome.
        tries: How often it has been tried.
        last_error: Why the last try failed.
    """

    id: str
    kind: str
    state: str
    due: datetime | None = None
    key: str | None = None
    cron: str | None = None
    tz: str | None = None
    method: str | None = None
    binding: str | None = None
    name: str | None = None
    url: str | None = None
    stream_to: str | None = None
    then: str | None = None
    tries: int = 0
    last_error: str | None = None

    @classmethod
    def from_wire(cls, facts: dict[str, Any]) -> Job:
        """From the JSON object of a list; what this version does not know is left out."""
        known = {name: value for name, value in facts.items() if name in cls.__dataclass_fields__}
        due_us = facts.get("due_us")
        return cls(**known, due=None if due_us is None else instant_of(due_us))


class Outbox:
    """What leaves an instance when its turn has committed, and is tried until it has an outcome: `ctx.outbox`."""

    __slots__ = ("_jobs",)

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def call(
        self,
        stub: ActorStub,
        method: str,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        then: str | None = None,
        delay: timedelta | float = 0,
        key: str | None = None,
    ) -> str:
        """Call another instance after this turn has committed, with one effect there; the job's id.

        Example:
            self.ctx.outbox.call(self.env.WALLET.id_from_name(to), "receive", 5, then="_sent")

        Args:
            stub: Whom to call.
            method: What to call; one that callers may call.
            args: Its arguments by position.
            kwargs: Its arguments by name.
            then: A method of this class, private or not, that gets the `Outcome`.
            delay: How long to wait first: seconds or a timedelta.
            key: What names the job at this instance: it takes the place of an earlier one of that name.

        Raises:
            AttributeError: `method` is no name of a method that callers may call; this class has no method `then`.
            CodecError: An argument cannot be passed.
            LimitError: The job is larger than 256 KiB, or there are too many.
            HostError: Named `UnsupportedError` by a host that runs no jobs.
        """
        if not isinstance(stub, ActorStub):
            raise TypeError(f"outbox.call takes a stub, like env.WALLET.id_from_name(name), not {type(stub).__name__}")
        binding, name, label, stub_key = stub._target()  # noqa: SLF001  (a stub's attributes are methods of its actor)
        if stub_key:
            raise TypeError("a call of the outbox goes under its job's id: give it a stub without once()")
        if not isinstance(method, str):
            raise TypeError(f"outbox.call takes the name of a method, not {type(method).__name__}")
        if method.startswith("_") or not method.isidentifier() or method in HANDLER_NAMES:
            raise AttributeError(f"{label} has no method {method!r} that callers may call", name=method, obj=stub)
        facts = {"kind": "call", "binding": binding, "name": name, "method": method, **_after(delay)}
        arguments = _arguments(args, _named(kwargs), f"the arguments of {label}.{method}")
        return self._jobs.put(facts, key, then, f'"arguments":{arguments}')

    def http(
        self,
        method: str,
        url: str,
        *,
        headers: HeaderPairs | Headers | None = None,
        body: str | bytes = b"",
        json: Any = NOTHING,
        timeout: float | None = None,
        stream_to: str | None = None,
        then: str | None = None,
        delay: timedelta | float = 0,
        key: str | None = None,
    ) -> str:
        """Send a request after this turn has committed, at least once, until it has an outcome; the job's id.

        It goes with the job's id as `Idempotency-Key`, unless it has one of its own: a server that knows the header
        acts once. It is sent again where there is no answer, or one that asks for it (408, 425, 429, 5xx).

        Example:
            self.ctx.outbox.http("POST", "https://api.example.com/v1/orders", json=order, then="_told")

        Args:
            method: `GET`, `POST`, ...
            url: The whole URL; holdfast.toml lists what may be asked: `[outbound] allow`. Redirects are not followed.
            headers: A mapping, or pairs where a name repeats.
            body: Text or bytes.
            json: A value that is sent as plain JSON; in place of `body`.
            timeout: Seconds for one try, at most 30; with `stream_to`, for its head, and then for each piece.
            stream_to: A topic of this instance, to which an answer with a status of 200 to 299 is published while it
                comes. Each event of a `text/event-stream` is an event, each line of `application/x-ndjson` is one, and
                anything else is published as text. Each piece is a turn of its own, so when a worker dies nothing is
                lost and nothing published twice. Where the request has to be sent again, an event `again` says that the
                answer begins anew. `then` gets the whole, up to 1 MiB.
            then: A method of this class, private or not, that gets the `Outcome`.
            delay: How long to wait first: seconds or a timedelta.
            key: What names the job at this instance: it takes the place of an earlier one of that name.

        Raises:
            AttributeError: This class has no method `then`.
            ValueError: `url` is no URL, `timeout` or `delay` no time, `stream_to` no name of a topic.
            CodecError: `json` has something that JSON cannot express.
            LimitError: The job is larger than 256 KiB, or there are too many.
            HostError: Named `UnsupportedError` by a host that runs no jobs.
        """
        if not isinstance(method, str) or not method.isalpha():
            raise ValueError(f"{method!r:.80} is no method of HTTP, like 'POST'")
        if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
            raise ValueError(f"{url!r:.200} is no URL like https://api.example.com/path")
        further = {} if timeout is None else {"timeout_ms": timeout_ms_of(timeout)}
        request = request_of(method, url, headers, body, json).to_wire(**further)
        facts: dict[str, Any] = {"kind": "http", **_after(delay)}
        if stream_to is not None:
            facts["stream_to"] = checked_topic(stream_to)
        return self._jobs.put(facts, key, then, f'"request":{request}')

    def __repr__(self) -> str:
        return "<holdfast outbox>"


class Jobs:
    """The jobs of one instance. Made by the runtime, one for each activation."""

    __slots__ = ("_actor", "_host")

    def __init__(self, actor: type, host: JobsImport) -> None:
        self._actor = actor
        self._host = host

    def schedule(
        self,
        when: datetime | timedelta | float | str,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None,
        key: str | None,
        tz: str | None,
    ) -> str:
        """See `Context.schedule`."""
        facts: dict[str, Any] = {"kind": "run", "method": method}
        if isinstance(when, str):
            facts["cron"] = when
            if tz is not None:
                facts["tz"] = tz
        elif tz is not None:
            raise TypeError("tz is the time zone of a cron text: a datetime has its own")
        else:
            facts["due_us"] = microseconds_of(when, "a job")
        named = _named(kwargs)
        self._check_fits(method, args, named)
        arguments = _arguments(args, named, f"the arguments of {self._actor.__name__}.{method}")
        return self.put(facts, key, None, f'"arguments":{arguments}')

    def put(self, facts: dict[str, Any], key: str | None, then: str | None, encoded: str) -> str:
        """Hand a job to the host; `encoded` is a member of it that is text already. Its id."""
        if key is not None:
            facts["key"] = checked_key(key, "the key of a job")
        if then is not None:
            self._check_fits(then, (None,), {})
            facts["then"] = then
        try:
            return self._host.put(f"{encode_json(facts)[:-1]},{encoded}}}")
        except Err as error:
            _raise(error)

    def list(self) -> list[Job]:
        """All of them, abandoned ones too."""
        found: list[Job] = []
        after = ""
        while True:
            try:
                page = decode_json(self._host.list(after, _PAGE_JOBS))
            except Err as error:
                raise_refusal(error)
            found += map(Job.from_wire, page["jobs"])
            after = page["next"]
            if not after:
                return found

    def cancel(self, id: str | None, key: str | None) -> bool:  # noqa: A002  (what a job's is called)
        """See `Context.cancel`."""
        if (id is None) == (key is None):
            raise TypeError("cancel takes the id of a job, or its key: cancel(id) or cancel(key=...)")
        named, value = ("id", id) if key is None else ("key", checked_key(key, "the key of a job"))
        if not isinstance(value, str):
            raise TypeError(f"the id of a job is a str, not {type(value).__name__}")
        try:
            return self._host.cancel(encode_json({named: value}))
        except Err as error:
            _raise(error)

    def _check_fits(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise where the class has no such method, or it does not take that."""
        label = self._actor.__name__
        if not isinstance(name, str):
            raise TypeError(f"a job takes the name of a method, like '_expire', not {type(name).__name__}")
        method = method_of(self._actor, name)
        if method is None:
            raise AttributeError(f"{label} has no method {name!r} that a job can run", name=name, obj=self._actor)
        signature = _signature_without_self(self._actor, name)
        given = {**kwargs, INFO: None} if wants_info(signature, list(args), kwargs) else kwargs
        try:
            signature.bind(*args, **given)
        except TypeError as misfit:
            raise TypeError(f"{label}.{name}: {misfit}; it is {name}{signature_text(method)}") from None


def _signature_without_self(actor: type, name: str) -> inspect.Signature:
    descriptor: Any = inspect.getattr_static(actor, name)
    bind: Callable[..., Any] | None = getattr(descriptor, "__get__", None)
    return signature_of(descriptor if bind is None else bind(object(), actor))


def _named(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise TypeError(f"kwargs is a dict of arguments by name, not {kwargs!r:.80}")
    return dict(kwargs)


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> str:
    return f'{{"$hf":"arguments","v":[{encode([*args], what)},{encode(kwargs, what)}]}}'


def _after(delay: timedelta | float) -> dict[str, int]:
    if isinstance(delay, bool) or not isinstance(delay, (int, float, timedelta)):
        raise TypeError(f"a delay is a timedelta or a number of seconds, not {type(delay).__name__}")
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not 0 <= seconds < _SECONDS_MAX:
        raise ValueError(f"a delay of {seconds:g} seconds: it is at least 0, and a job is due within 10 years")
    return {"due_us": round((time.time() + seconds) * 1e6)} if seconds else {}


def _raise(error: Err) -> NoReturn:
    facts = facts_of(error)
    if facts["name"] == "BadRequestError":
        raise ValueError(facts["message"]) from None
    raise_refusal(error)
