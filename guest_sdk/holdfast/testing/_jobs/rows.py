"""A job as a local host keeps it, and as a test sees it."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from holdfast._jobs.outbox import Job
from holdfast._state.alarms import instant_of

_HALF_BYTES: Final = 8
_UNKEYED: Final = 0x80  # the first bit of an id whose job has no key
_LISTED: Final = ("key", "cron", "tz", "method", "binding", "name", "stream_to", "then")


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One job of an instance, or of the function. It is replaced as a whole; times are microseconds since 1970."""

    id: str
    wanted: dict[str, Any]  # as it was put
    due_us: int
    scheduled_us: int  # what was asked for; `due_us` moves with retries
    state: str = "armed"
    tries: int = 0  # calls and requests that were made
    retry_count: int = 0  # turns of its own instance that have failed: runs, and `then`
    last_error: str = ""
    unknown: bool = False
    outcome: dict[str, Any] | None = None  # what `then` gets, once that has failed to run
    pieces: int = 0  # of an answer that streams: how many are published, of this try,
    again: bool = False  # and that some of an earlier try are, which begins anew
    survived_a_crash: bool = False  # an attempt of it may have killed the host: the next one that does counts

    @property
    def kind(self) -> str:
        """`run`, `call`, `http`, or `scheduled` of the function."""
        return str(self.wanted["kind"])

    @property
    def key(self) -> str:
        """What names it at its instance; empty for none."""
        return str(self.wanted.get("key", ""))

    def says_the_same(self, wanted: dict[str, Any]) -> bool:
        """Whether this is the cron that is wanted, and runs."""
        return "cron" in wanted and self.wanted == wanted and self.state != "abandoned"

    def facts(self) -> dict[str, Any]:
        """As a list of `wit/jobs.wit` has it."""
        facts: dict[str, Any] = {"id": self.id, "kind": self.kind, "state": self.state, "due_us": self.due_us}
        facts |= {name: self.wanted[name] for name in _LISTED if name in self.wanted}
        if "request" in self.wanted:
            facts["url"] = self.wanted["request"]["url"]
        facts["tries"] = self.tries + self.retry_count
        return {**facts, "last_error": self.last_error} if self.last_error else facts


@dataclass(frozen=True, slots=True)
class JobState(Job):
    """A job as a test sees it: a `holdfast.Job` that says more.

    Attributes:
        instance: Whose it is: `Shop/main`.
        unknown: Whether nobody can know if it took effect.
    """

    instance: str = ""
    unknown: bool = False


def state_of(label: str, job: StoredJob) -> JobState:
    """What a test sees of it."""
    facts = job.facts()
    due = instant_of(facts.pop("due_us"))
    return JobState(**facts, due=due, instance=label, unknown=job.unknown)


def new_id(key: str) -> str:
    """An id that no job had; its first half belongs to the key, where there is one."""
    first = hashlib.sha256(key.encode()).digest()[:_HALF_BYTES] if key else secrets.token_bytes(_HALF_BYTES)
    begins = first[0] & ~_UNKEYED if key else first[0] | _UNKEYED
    return bytes((begins,)).hex() + first[1:].hex() + secrets.token_hex(_HALF_BYTES)


def dumps(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
