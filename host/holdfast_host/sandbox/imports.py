"""The host's side of every WIT import: bytes in, bytes out, against a turn's Capabilities.

Nothing of wasmtime is here, and no limit is enforced here but the shape of what the guest sent: keys, values and pages
are the storage's to judge. What a handler raises is turned into the import's `err`, or a trap, by its caller
(`marshal`): HoldfastError goes to the guest, all else is our bug.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast_host.core.errors import BadRequestError, InvalidNameError, LimitError
from holdfast_host.core.json_text import commas_of, read_texts
from holdfast_host.core.limits import DUE_US_MAX, KEYS_MAX, KEYS_TEXT_BYTES_MAX, KIB, MIB
from holdfast_host.sandbox.capabilities import Capabilities
from holdfast_host.sandbox.gathered_calls import read_calls, write_outcomes

Handler = Callable[..., Any]  # (turn, *parameters as `signatures.Kind` says) -> the ok value

NO_ALARM: Final = -1
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "stdout", "stderr"})
_LEVEL_BYTES_MAX: Final = 16
_TARGET_BYTES_MAX: Final = 256
_STREAM_BYTES_MAX: Final = 32  # of its number; what is longer names none
_READ_BYTES_MAX: Final = 64 * KIB  # of an answer that streams, at once
_LOG_TEXT_BYTES_MAX: Final = MIB  # far above a line's limit, which the turn keeps; to decode more takes long
_COUNTED_BYTES: Final = 64 * KIB  # of keys as JSON; in less there is little to make
BLOCKING: Final = frozenset(
    {
        ("storage", "sync"),
        *(("calls", each) for each in ("call", "call-once", "call-many", "fetch")),
        *(("http", each) for each in ("request", "open", "read")),
    }
)


def _get(turn: Capabilities, key: bytes) -> bytes:
    return turn.storage.get(key) or b""


def _get_many(turn: Capabilities, keys: bytes) -> bytes:
    return _pairs_text(turn.storage.get_many(_read_keys(keys)))


def _put(turn: Capabilities, key: bytes, value: bytes) -> None:
    turn.storage.put(key, value)


def _delete(turn: Capabilities, key: bytes) -> bool:
    return turn.storage.delete(key)


def _list(
    turn: Capabilities,
    prefix: bytes,
    start: bytes | None,
    start_after: bytes | None,
    end: bytes | None,
    reverse: bool,
    limit: int,
) -> bytes:
    pairs, following = turn.storage.list(prefix, start, start_after, end, reverse, limit)
    entries = _pairs_text(pairs)
    if following is None:
        return b'{"entries":%b}' % entries
    return b'{"entries":%b,"next":%b}' % (entries, _key_text(following))


def _set_alarm(turn: Capabilities, due_us: int) -> None:
    if not 0 <= due_us <= DUE_US_MAX:
        raise BadRequestError(f"an alarm due at {due_us} us: it must lie between 0 and {DUE_US_MAX}, the year 9999")
    turn.check_alarm_handler()
    turn.storage.set_alarm(due_us)


def _get_alarm(turn: Capabilities) -> int:
    due_us = turn.storage.get_alarm()
    return NO_ALARM if due_us is None else due_us


def _call(turn: Capabilities, binding: bytes, name: bytes, method: bytes, arguments: bytes) -> bytes:
    _check_target(binding, name, method)
    return turn.call(binding.decode(), name.decode(), method.decode(), arguments)


def _call_once(turn: Capabilities, binding: bytes, name: bytes, method: bytes, arguments: bytes, key: bytes) -> bytes:
    _check_target(binding, name, method)
    if not key:
        raise BadRequestError("an idempotency key has 1 to 255 bytes, this one has none")
    return turn.call(binding.decode(), name.decode(), method.decode(), arguments, key)


def _call_many(turn: Capabilities, calls: bytes) -> bytes:
    wanted = read_calls(calls)
    for each in wanted:
        _check_target(*(part.encode() for part in each.target))
    return write_outcomes(turn.call_many(wanted))


def _fetch(turn: Capabilities, binding: bytes, name: bytes, request: bytes) -> bytes:
    _check_target(binding, name)
    return turn.fetch(binding.decode(), name.decode(), request)


def _read_http(turn: Capabilities, stream: bytes, bytes_max: int) -> bytes:
    return turn.read_http(stream[:_STREAM_BYTES_MAX].decode(errors="replace"), min(bytes_max, _READ_BYTES_MAX))


def _check_target(*texts: bytes) -> None:
    """Refuse what can name nothing before it is copied and quoted; the caller's worker judges the rest."""
    longest = max(map(len, texts))
    if longest > _TARGET_BYTES_MAX:
        raise InvalidNameError(f"a binding, name or method of {longest} bytes: none has more than {_TARGET_BYTES_MAX}")


def _write_log(turn: Capabilities, level: bytes, text: bytes) -> None:
    name = level.decode() if len(level) <= _LEVEL_BYTES_MAX else ""
    turn.log(name if name in _LEVELS else "info", text[:_LOG_TEXT_BYTES_MAX].decode(errors="ignore"))


HANDLERS: Final[dict[tuple[str, str], Handler]] = {
    ("storage", "get"): _get,
    ("storage", "get-many"): _get_many,
    ("storage", "put"): _put,
    ("storage", "delete"): _delete,
    ("storage", "list"): _list,
    ("storage", "delete-all"): lambda turn: turn.storage.delete_all(),
    ("storage", "open-savepoint"): lambda turn: turn.storage.savepoint(),
    ("storage", "release-savepoint"): lambda turn, number: turn.storage.release_savepoint(number),
    ("storage", "rollback-savepoint"): lambda turn, number: turn.storage.rollback_savepoint(number),
    ("storage", "savepoint"): lambda turn: turn.storage.savepoint(),
    ("storage", "release"): lambda turn: turn.storage.release(),
    ("storage", "rollback"): lambda turn: turn.storage.rollback(),
    ("storage", "sync"): lambda turn: turn.sync(),
    ("alarms", "set"): _set_alarm,
    ("alarms", "get"): _get_alarm,
    ("alarms", "delete"): lambda turn: turn.storage.delete_alarm(),
    ("calls", "call"): _call,
    ("calls", "call-once"): _call_once,
    ("calls", "call-many"): _call_many,
    ("calls", "key"): lambda turn: turn.key(),
    ("calls", "fetch"): _fetch,
    ("http", "request"): lambda turn, request: turn.request_http(request),
    ("jobs", "put"): lambda turn, job: turn.jobs.put(job),
    ("jobs", "list"): lambda turn, after, limit: turn.jobs.list(after, limit),
    ("jobs", "cancel"): lambda turn, by: turn.jobs.cancel(by),
    ("http", "open"): lambda turn, request: turn.request_http(request, streams=True),
    ("http", "read"): _read_http,
    ("sockets", "accept"): lambda turn, socket, options: turn.sockets.accept(socket, options),
    ("sockets", "list"): lambda turn, tag, after, limit: turn.sockets.list(tag, after, limit),
    ("sockets", "count"): lambda turn, tag: turn.sockets.count(tag),
    ("sockets", "send"): lambda turn, to, message, options: turn.sockets.send(to, message, options),
    ("sockets", "attach"): lambda turn, socket, value: turn.sockets.attach(socket, value),
    ("sockets", "close"): lambda turn, to, code, reason: turn.sockets.close(to, code, reason),
    ("sockets", "auto-response"): lambda turn, text, answer: turn.sockets.auto_response(text, answer),
    ("log", "write"): _write_log,
}


def _read_keys(text: bytes) -> list[bytes]:
    if len(text) > KEYS_TEXT_BYTES_MAX:
        raise LimitError(f"get_many of keys of {len(text)} bytes as JSON, the limit is {KEYS_TEXT_BYTES_MAX} bytes")
    if len(text) > _COUNTED_BYTES and (commas := commas_of(text)) >= KEYS_MAX:
        raise LimitError(f"get_many of {commas + 1} keys exceeds the limit of {KEYS_MAX} keys")
    try:
        return [key.encode() for key in read_texts(text)]
    except (ValueError, RecursionError):
        raise BadRequestError("storage.get-many takes a JSON array of keys, each a text of valid Unicode") from None


def _key_text(key: bytes) -> bytes:
    return json.dumps(key.decode(), ensure_ascii=False).encode()


def _pairs_text(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """`[["key",value],...]`: values are JSON already and stay untouched."""
    return b"[%b]" % b",".join([b"[%b,%b]" % (_key_text(key), value) for key, value in pairs])
