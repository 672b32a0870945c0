"""What exports and imports say: JSON lines, each of which stands for itself.

An export of one instance begins with `{"holdfast_export":1,"type":...,"name":...,"at":...}`. Then come its keys, as
`{"key":...,"value":...}` with the value as it is stored, typed, or as `{"key":...,"raw":...}` where that is no value of
the encoding; then `{"alarm":...}` and a `{"job":...}` each. `{"end":...}` is last, and counts: an export that broke off
has none, but `{"error":...}` where there was time to say so.

An export of a type has lines `{"name":...,"key":...,"value":...}`, or with `raw`, and the same end.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import BadRequestError, CodecError, LimitError
from holdfast_host.core.json_text import NumberTooLargeError, check_numbers, is_json, is_nested_deeper
from holdfast_host.core.limits import KIB, RESERVED_KEY_PREFIX
from holdfast_host.core.values import check_encoded, may_have_tags, plain_text
from holdfast_host.front.routes.alarms import read_due, show_alarm, show_time

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.limits import Limits

FORMAT: Final = 1
_ESCAPED: Final = 6  # bytes of JSON that one of a text may take
_KEY: Final = re.compile(r'\s*\{\s*"key"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(value|raw)"\s*:')
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_STATES: Final = frozenset({"armed", "retrying", "abandoned", "parked"})
_RUN: Final[tuple[str, ...]] = ("method", "cron", "tz")
_LEVELS_AROUND: Final = 8  # of a line, around the arguments of a job
_ERROR_CHARS_MAX: Final = 1_000  # of what is kept of an error

Row = list[Any]  # as the worker has it: its kind, and what it says


class ExportLines:
    """The lines of one export, from its rows."""

    def __init__(self, limits: Limits, *, of_type: bool, typed: bool) -> None:
        """`of_type`: of all instances of a type, each line with the name; `typed`: values as they are stored."""
        self._nesting_max = limits.nesting_max
        self._of_type = of_type
        self._typed = typed
        self._head = "{"
        self._counts = {"instances": 0} if of_type else {}
        self._counts |= {"keys": 0, "bytes": 0}

    def render(self, rows: list[Row]) -> str:
        """What is sent of these rows."""
        return "".join([self._line(*row) for row in rows])

    def end(self) -> str:
        """The last line."""
        return _dumped({"end": self._counts})

    def _line(self, kind: str, *facts: Any) -> str:
        if kind == "key":
            key, encoded = facts
            self._counts["keys"] += 1
            self._counts["bytes"] += len(key.encode()) + len(encoded.encode())
            return self._head + _key_members(key, encoded, self._typed, self._nesting_max)
        if kind == "instance":
            if self._of_type:
                self._counts["instances"] += 1
                self._head = f'{{"name":{json.dumps(facts[0])},'
            return ""
        if kind == "alarm":
            return _dumped({"alarm": show_alarm(facts[0])})
        (job,) = facts
        due = show_time(job["due_us"])
        rest = {name: value for name, value in job.items() if name not in {"id", "kind", "state", "due_us"}}
        return _dumped({"job": {**{name: job[name] for name in ("id", "kind", "state")}, "due": due, **rest}})


class ImportLines:
    """Reads the lines of one export as they come."""

    def __init__(self, actor_type: str, limits: Limits) -> None:
        """`actor_type`: of the instance that they are for."""
        self._type = actor_type
        self._limits = limits
        self._line_bytes_max = _ESCAPED * (limits.value_bytes_max + limits.key_bytes_max) + KIB
        self._rest = b""
        self._number = 0
        self._begun = False
        self._ends: JsonObject | None = None
        self.keys = 0
        self.alarm: JsonObject | None = None
        self.runs: list[JsonObject] = []
        self._runs_bytes = 0
        self.left_out = 0

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """The keys and encoded values that are whole now.

        Raises:
            BadRequestError: a line is none of an export, named by its number.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = [self._read(line) for line in lines]
        if len(self._rest) > self._line_bytes_max:
            self._number += 1
            raise self._bad(f"is longer than {self._line_bytes_max} bytes")
        return [each for each in found if each is not None]

    def finish(self) -> list[tuple[str, str]]:
        """That was all: what the last line said, where it had no end.

        Raises:
            BadRequestError: the export is not whole.
        """
        last = self.feed(b"\n") if self._rest.strip() else []
        if not self._begun:
            raise BadRequestError('this is no export: it begins with a line {"holdfast_export":1,...}')
        if self._ends is None:
            raise BadRequestError("the export is not whole: its last line, the end, is missing; nothing was changed")
        if self._ends.get("keys") != self.keys:
            raise BadRequestError(
                f"the export has {self.keys} keys, its end says {self._ends.get('keys')!r:.20}: nothing was changed"
            )
        return last

    def _read(self, line: bytes) -> tuple[str, str] | None:
        self._number += 1
        if not line.strip():
            return None
        if self._ends is not None:
            raise self._bad("comes after the end")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise self._bad("is not UTF-8") from None
        match = _KEY.match(text)
        if match is None:
            self._read_object(text)
            return None
        self._check_begun()
        rest = text[match.end() :].rstrip()
        if not rest.endswith("}"):
            raise self._bad("is no JSON object with a key and a value")
        value = rest[:-1].strip()
        self.keys += 1
        key = self._loaded(match[1])
        self._check_key(key)
        return key, self._raw(value) if match[2] == "raw" else self._encoded(value)

    def _read_object(self, text: str) -> None:
        """One of the lines that are no key's."""
        nesting_max = self._limits.nesting_max
        if is_nested_deeper(text.encode(), nesting_max + _LEVELS_AROUND):
            raise self._bad(f"is nested deeper than {nesting_max}")
        facts = self._loaded(text)
        if not isinstance(facts, dict) or not facts:
            raise self._bad("is no JSON object of an export")
        kind = next(iter(facts))
        if kind == "holdfast_export":
            self._begin(facts)
            return
        self._check_begun()
        if kind == "error":
            raise self._bad(f"says why the export broke off: {facts[kind]!r:.200}")
        reader = {"alarm": self._read_alarm, "job": self._read_job, "end": self._read_end}.get(kind)
        if reader is None or not isinstance(facts[kind], dict):
            raise self._bad(f"is none of an export: it begins with {kind!r:.40}")
        try:
            reader(facts[kind])
        except (KeyError, TypeError, ValueError, BadRequestError) as error:
            raise self._bad(f"is no {kind} as exports have it: {error!s:.100}") from None

    def _begin(self, facts: JsonObject) -> None:
        if self._begun:
            raise self._bad("begins another export: import one after the other")
        if facts["holdfast_export"] != FORMAT:
            raise self._bad(
                f"has format {facts['holdfast_export']!r:.20}, this release reads format {FORMAT}: "
                "import it with the release that wrote it"
            )
        if facts.get("type") != self._type:
            raise self._bad(f"says that this is of the type {facts.get('type')!r:.40}, not {self._type!r}")
        self._begun = True

    def take(self, kind: str, facts: JsonObject) -> None:
        """An alarm or a job, as a worker has it."""
        if kind == "alarm":
            self.alarm = {name: facts[name] for name in ("due_us", "scheduled_us")} | _progress(facts)
        else:
            self._take_job(facts)

    def _read_alarm(self, alarm: JsonObject) -> None:
        if self.alarm is not None:
            raise ValueError("there is one already")
        self.take("alarm", {**alarm, "due_us": read_due(alarm["due"]), "scheduled_us": read_due(alarm["scheduled"])})

    def _read_job(self, job: JsonObject) -> None:
        self._take_job({**job, "due_us": read_due(job["due"])})

    def _take_job(self, job: JsonObject) -> None:
        """Runs come along; what they ask of others stays with the instance that has asked it."""
        if job["kind"] != "run":
            self.left_out += 1
            return
        text = {name: job[name] for name in _RUN if name in job}
        text |= {"kind": "run", "arguments": job["payload"]}
        if job.get("key"):
            text["key"] = job["key"]
        if "cron" not in text:
            text["due_us"] = job["due_us"]
        run = {"text": text, **_progress(job)}
        self._runs_bytes += len(json.dumps(run))
        self.runs.append(run)
        limits = self._limits
        if len(self.runs) > limits.instance_jobs_max or self._runs_bytes > limits.turn_write_bytes_max:
            raise LimitError(
                f"{len(self.runs)} jobs of {self._runs_bytes} bytes exceed the limits of {limits.instance_jobs_max} "
                f"jobs and {limits.turn_write_bytes_max} bytes of an import"
            )

    def _read_end(self, end: JsonObject) -> None:
        self._ends = end

    def _check_begun(self) -> None:
        if not self._begun:
            raise self._bad('comes before the first one of an export, {"holdfast_export":1,...}')

    def _check_key(self, key: str) -> None:
        if _has_lone_surrogate(key):
            raise self._bad("has a key with a lone surrogate")
        key_bytes = len(key.encode())
        if not 1 <= key_bytes <= self._limits.key_bytes_max:
            raise self._bad(f"has a key of {key_bytes} bytes: 1 to {self._limits.key_bytes_max} are allowed")
        if key.startswith(RESERVED_KEY_PREFIX):
            raise self._bad(f"has the key {key!r:.80}: what starts with {RESERVED_KEY_PREFIX} is reserved")

    def _encoded(self, value: str) -> str:
        if is_line_value(value, self._limits.nesting_max):
            return value
        try:
            check_encoded(value)
        except CodecError as error:
            raise self._bad(f"cannot be read: {error.message}") from None
        raise self._bad(f"has a value that is nested deeper than {self._limits.nesting_max}")

    def _raw(self, value: str) -> str:
        text = self._loaded(value)
        if not isinstance(text, str) or _has_lone_surrogate(text):
            raise self._bad("has a raw value that is no text of UTF-8: raw stands for what is stored, as a string")
        return text

    def _loaded(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise self._bad("is not JSON") from None

    def _bad(self, what: str) -> BadRequestError:
        return BadRequestError(f"line {self._number} of the import {what}: nothing was changed")


def head_line(actor_type: str, name: str, at: str) -> str:
    """The first line of an export of one instance."""
    return _dumped({"holdfast_export": FORMAT, "type": actor_type, "name": name, "at": at})


def is_line_value(encoded: str, nesting_max: int) -> bool:
    """Whether what is stored can stand in a line as the value that it is, and be read from there again."""
    text = encoded.encode("utf-8", "surrogatepass")
    if b"\n" in text or b"\r" in text or not is_json(text) or is_nested_deeper(text, nesting_max):
        return False
    try:
        check_numbers(text)
        if may_have_tags(encoded):
            check_encoded(encoded)
    except (NumberTooLargeError, CodecError):
        return False
    return True


def _key_members(key: str, encoded: str, typed: bool, nesting_max: int) -> str:
    """The end of a key's line."""
    if is_line_value(encoded, nesting_max):
        with suppress(CodecError):  # an integer of thousands of digits
            return f'"key":{json.dumps(key)},"value":{encoded if typed else plain_text(encoded)}}}\n'
    return f'"key":{json.dumps(key)},"raw":{json.dumps(encoded)}}}\n'


def _has_lone_surrogate(text: str) -> bool:
    """Whether UTF-8 cannot say it."""
    return _SURROGATE.search(text) is not None


def _progress(facts: JsonObject) -> JsonObject:
    """How far an alarm or a run has come."""
    state, retries, why = facts["state"], facts["retry_count"], facts["last_error"] or ""
    if state not in _STATES or not isinstance(retries, int) or not 0 <= retries < 1 << 31 or not isinstance(why, str):
        raise ValueError("state, retry_count or last_error are none")
    return {
        "state": "abandoned" if state == "abandoned" else "armed",
        "retry_count": retries,
        "last_error": why[:_ERROR_CHARS_MAX],
    }


def _dumped(facts: JsonObject) -> str:
    return json.dumps(facts, separators=(",", ":")) + "\n"
