"""What a guest does with the sockets of its instance: the functions of `wit/sockets.wit` for one turn.

What a guest sends is read and judged here; rows and frames go into the turn's changes (storage.socket_changes). A
socket is open while its row stands, is neither closed nor ending, and its front has it still.
"""

from __future__ import annotations

import binascii
import builtins
import json
import re
import time
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import BadRequestError, LimitError
from holdfast_host.core.json_text import is_json, is_nested_deeper
from holdfast_host.storage.store import AUTO_RESPONSE, SOCKET_CLOSED, SOCKET_ENDS, SOCKET_EVENTS, SocketRow
from holdfast_host.wire.sockets.frames import Auto, Close, Open, Send, SendKind, read_socket, socket_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.turns.turn import Turn

_NUL: Final = b"\0"
_NOTHING: Final = b"{}"
# Plain integers: to look a member of an enumeration up costs more than to send a short message.
_TEXT, _BINARY, _EVENT = map(int, SendKind)
_ONE: Final = re.compile(rb'\{"ids":\["([0-9a-f]{16})"\]\}')  # as most answers name their receiver
_DEAF: Final = SOCKET_CLOSED | SOCKET_ENDS
_PROTOCOL: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_CODES: Final = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
_REASON_BYTES_MAX: Final = 123  # a close frame has no more room
_EVENT_BYTES_MAX: Final = 1_024  # of an event's name and of its id
_OPTIONS_BYTES_MAX: Final = 64 << 10
_LIST_MAX: Final = 1_000
_ID_BYTES: Final = 24  # of one in a list, with quotes and comma


class TurnSockets:
    """The sockets of one turn's instance. Made when the turn first uses them; its thread's."""

    __slots__ = ("_limits", "_live", "_storage", "_turn")

    def __init__(self, turn: Turn, limits: Limits, live: Callable[[int], bool]) -> None:
        """`live(socket)` is whether its front has it; any thread may ask."""
        self._turn = turn
        self._storage = turn.storage
        self._limits = limits
        self._live = live

    def accept(self, socket: bytes, options: bytes) -> None:
        """Accept the socket that the turn was offered.

        Raises:
            BadRequestError: it was offered none, or another one; or the options break the contract.
            LimitError: there are too many, or too much is said of it.
        """
        turn, storage, label = self._turn, self._storage, self._turn.entry.label
        number = read_socket(socket.decode())
        if not number or number != turn.request.offer:
            text = "the socket of the request that its fetch was given" if turn.request.offer else "none"
            raise BadRequestError(f"{label}: this turn may accept {text}, not {socket[:40].decode()!r}")
        if storage.socket(number) is not None:
            raise BadRequestError(f"{label}: the socket {socket.decode()} is accepted already")
        facts = self._read(options, "options")
        events = facts.get("events", False)
        if type(events) is not bool:
            raise BadRequestError(f"{label}: 'events' of a socket is true or false")
        if not events and turn.loaded is not None and not turn.loaded.may_handle("socket_message"):
            raise BadRequestError(
                f"{label}: {turn.loaded.type} has no socket_message that could hear of it: it can accept no WebSocket"
            )
        count = storage.count_sockets()
        if count >= self._limits.instance_sockets_max:
            raise LimitError(f"{label}: {count} sockets, the limit is {self._limits.instance_sockets_max}")
        protocol = facts.get("protocol", "")
        if not isinstance(protocol, str) or (protocol and not _PROTOCOL.fullmatch(protocol)):
            raise BadRequestError(f"{label}: {protocol!r:.80} is no name of a subprotocol")
        attachment = _typed_text(facts["attachment"]) if facts.get("attachment") is not None else b""
        row = SocketRow(
            time.time_ns() // 1000,
            events=events,
            tags=self._read_tags(facts.get("tags", [])),
            protocol=protocol.encode(),
            attachment=self._checked_attachment(attachment),
        )
        storage.put_socket(number, row)
        type_id, name = turn.entry.type_id, turn.entry.stored.name
        storage.tell(Open(number, events, type_id, name, protocol), (number,))
        auto = storage.socket(AUTO_RESPONSE)
        if auto is not None and not events:
            storage.tell(Auto(type_id, name, auto.tags.decode(), auto.attachment.decode()), (number,))

    def list(self, tag: bytes | None, after: bytes, limit: int) -> bytes:
        """A page of those that are open, as JSON."""
        if not 1 <= limit <= _LIST_MAX:
            raise BadRequestError(f"{self._label}: a list of {limit} sockets: 1 to {_LIST_MAX} are allowed")
        first = read_socket(after.decode()) if after else 0
        found = sorted(each for each in self._open(tag).items() if each[0] > first)
        page: builtins.list[bytes] = []
        page_bytes = 0
        for number, row in found[:limit]:
            text = describe(number, row)
            page_bytes += len(text)
            if page and page_bytes > self._limits.page_bytes_max:
                break
            page.append(text)
        following = b""
        if len(page) < len(found):
            following = b',"next":"%b"' % socket_text(found[len(page) - 1][0]).encode()
        return b'{"sockets":[%b]%b}' % (b",".join(page), following)

    def count(self, tag: bytes | None) -> int:
        """How many are open."""
        return len(self._open(tag))

    def send(self, to: bytes, message: bytes, options: bytes) -> None:
        """Have a message leave with what the turn commits.

        Raises:
            BadRequestError: it breaks the contract.
            LimitError: it is too long, or the turn sends too much.
        """
        facts = self._read(options, "options") if options != _NOTHING else {}
        binary = facts.get("binary", False) if facts else False
        if type(binary) is not bool:
            raise BadRequestError(f"{self._label}: 'binary' of a message is true or false")
        if binary:
            try:
                message = binascii.a2b_base64(message, strict_mode=True)
            except binascii.Error:
                raise BadRequestError(f"{self._label}: a binary message is base64, this one is not") from None
        limit = self._limits.socket_message_bytes_max
        if len(message) > limit:
            raise LimitError(f"{self._label}: a message of {len(message)} bytes, the limit is {limit} bytes")
        event = event_id = b""
        if facts:
            event, event_id = self._event_text(facts, "event"), self._event_text(facts, "id")
        receivers = self._receivers(to)
        plain = [number for number, row in receivers.items() if not row.marks & SOCKET_EVENTS]
        if plain:
            self._storage.send(Send(_BINARY if binary else _TEXT, (), message), plain, len(message))
        if len(plain) < len(receivers) and not binary:
            streams = [number for number, row in receivers.items() if row.marks & SOCKET_EVENTS]
            frame = Send(_EVENT, (), message, event, event_id)
            self._storage.send(frame, streams, len(message) + len(event) + len(event_id))

    def attach(self, socket: bytes, value: bytes) -> None:
        """Keep another attachment with a socket that is open.

        Raises:
            BadRequestError: it is no JSON.
            LimitError: it is too large, or the turn writes too much.
        """
        checked, number = self._checked_attachment(value), read_socket(socket.decode())
        row = self._storage.socket(number) if number else None
        if row is not None and self._is_open(number, row):
            self._storage.attach(number, row._replace(attachment=checked))

    def close(self, to: bytes, code: int, reason: bytes) -> None:
        """Have them closed; none of them is listed any more.

        Raises:
            BadRequestError: no close frame can say that.
        """
        if not any(code in codes for codes in _CODES):
            raise BadRequestError(
                f"{self._label}: {code} is no code to close with: 1000 to 1003, 1007 to 1014, 3000 to 4999 are"
            )
        if len(reason) > _REASON_BYTES_MAX:
            raise BadRequestError(
                f"{self._label}: a reason of {len(reason)} bytes to close with, the limit is {_REASON_BYTES_MAX} bytes"
            )
        receivers = self._receivers(to)
        for number, row in receivers.items():
            self._storage.put_socket(number, row._replace(closed=True))
        if receivers:
            self._storage.tell(Close(code, (), reason.decode()), [*receivers])

    def auto_response(self, text: bytes, answer: bytes) -> None:
        """Have the fronts answer that text by themselves; an empty one ends it.

        Raises:
            LimitError: text or answer is too long, or the turn sends too much.
        """
        limit = self._limits.socket_auto_response_bytes_max
        for what, said in (("text", text), ("answer", answer)):
            if len(said) > limit:
                raise LimitError(
                    f"{self._label}: an auto response whose {what} has {len(said)} bytes, the limit is {limit} bytes"
                )
        if not text and self._storage.socket(AUTO_RESPONSE) is None:
            return
        entry = self._turn.entry
        frame = Auto(entry.type_id, entry.stored.name, text.decode() if text else None, answer.decode())
        # Of its end those hear too that are being closed: who comes meanwhile is answered as they are.
        found = self._open(None) if text else self._storage.all_sockets()
        receivers = [number for number, row in found.items() if not row.events]
        if receivers:
            self._storage.send(frame, receivers, len(text) + len(answer))
        self._storage.put_socket(AUTO_RESPONSE, SocketRow(0, tags=text, attachment=answer) if text else None)

    # Inside

    @property
    def _label(self) -> str:
        return self._turn.entry.label

    def _is_open(self, number: int, row: SocketRow) -> bool:
        if row.marks & _DEAF:
            return False
        return self._live(number) or number == self._turn.request.offer  # its front may be known only later

    def _open(self, tag: bytes | None) -> dict[int, SocketRow]:
        wanted = None if tag is None else b"%b%b%b" % (_NUL, tag, _NUL)
        return {
            number: row
            for number, row in self._storage.all_sockets().items()
            if (wanted is None or wanted in row.tags) and self._is_open(number, row)
        }

    def _receivers(self, to: bytes) -> dict[int, SocketRow]:
        """Those that are meant and open."""
        one = _ONE.fullmatch(to)
        if one is not None:
            number = int(one[1], 16)
            row = self._storage.socket(number) if number else None
            return {number: row} if row is not None and self._is_open(number, row) else {}
        facts = self._read(to, "'to'", _OPTIONS_BYTES_MAX + _ID_BYTES * self._limits.instance_sockets_max)
        if "ids" in facts:
            rows = ((number, self._storage.socket(number)) for number in self._read_ids(facts["ids"], "ids") if number)
            return {number: row for number, row in rows if row is not None and self._is_open(number, row)}
        tag = facts.get("tag")
        if tag is not None and not isinstance(tag, str):
            raise BadRequestError(f"{self._label}: 'tag' is a text")
        found = self._open(None if tag is None else self._utf8(tag, "'tag'"))
        for number in self._read_ids(facts.get("but", []), "but"):
            found.pop(number, None)
        events = facts.get("events")
        if events is None:
            return found
        return {number: row for number, row in found.items() if row.events == events}

    def _read_ids(self, given: Any, what: str) -> Collection[int]:
        if not isinstance(given, builtins.list) or not all(isinstance(each, str) for each in given):
            raise BadRequestError(f"{self._label}: {what!r} is a list of sockets, each a text")
        return dict.fromkeys(map(read_socket, given))

    def _read_tags(self, given: Any) -> bytes:
        if not isinstance(given, builtins.list) or not all(isinstance(each, str) for each in given):
            raise BadRequestError(f"{self._label}: 'tags' is a list of texts")
        tags = [self._utf8(each, "a tag") for each in dict.fromkeys(given)]
        limits = self._limits
        if len(tags) > limits.socket_tags_max:
            raise LimitError(f"{self._label}: {len(tags)} tags of a socket, the limit is {limits.socket_tags_max}")
        for tag in tags:
            if not 1 <= len(tag) <= limits.socket_tag_bytes_max:
                raise LimitError(
                    f"{self._label}: a tag of {len(tag)} bytes, it has 1 to {limits.socket_tag_bytes_max} bytes"
                )
            if _NUL in tag:
                raise BadRequestError(f"{self._label}: a tag must not contain NUL")
        return _NUL + _NUL.join(tags) + _NUL if tags else b""

    def _checked_attachment(self, text: bytes) -> bytes:
        limit = self._limits.socket_attachment_bytes_max
        if len(text) > limit:
            raise LimitError(f"{self._label}: an attachment of {len(text)} bytes, the limit is {limit} bytes")
        nesting_max = self._limits.nesting_max
        if text and (is_nested_deeper(text, nesting_max) or not is_json(text)):
            raise BadRequestError(f"{self._label}: an attachment is JSON, nested at most {nesting_max} deep")
        return text

    def _event_text(self, facts: dict[str, Any], name: str) -> bytes:
        text = facts.get(name, "")
        if not isinstance(text, str) or any(each in text for each in "\r\n\0"):
            raise BadRequestError(f"{self._label}: {name!r} of an event is a text without line breaks and NUL")
        encoded = self._utf8(text, f"{name!r} of an event")
        if len(encoded) > _EVENT_BYTES_MAX:
            raise LimitError(
                f"{self._label}: {name!r} of an event has {len(encoded)} bytes, the limit is {_EVENT_BYTES_MAX} bytes"
            )
        return encoded

    def _utf8(self, text: str, what: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise BadRequestError(f"{self._label}: {what} is no valid Unicode: it has a lone surrogate") from None

    def _read(self, text: bytes, what: str, bytes_max: int = _OPTIONS_BYTES_MAX) -> dict[str, Any]:
        if len(text) > bytes_max:
            raise LimitError(f"{self._label}: {what} of {len(text)} bytes, the limit is {bytes_max} bytes")
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict):
            raise BadRequestError(f"{self._label}: {what} of a socket is a JSON object")
        return facts


def describe(number: int, row: SocketRow) -> bytes:
    """A socket as guests read it."""
    row = row.read()
    tags = ",".join([encode_basestring(tag) for tag in tags_of(row)]) if row.tags else ""
    protocol = f'"protocol":{encode_basestring(row.protocol.decode())},' if row.protocol else ""
    events = "true" if row.events else "false"
    head = f'{{"id":"{number:016x}","tags":[{tags}],"opened_us":{row.opened_us},{protocol}"events":{events}'
    return b'%b,"attachment":%b}' % (head.encode(), row.attachment or b"null")


def tags_of(row: SocketRow) -> list[str]:
    """Its tags, in the order in which they were given."""
    return [tag.decode() for tag in row.tags[1:-1].split(_NUL)] if row.tags else []


def _typed_text(value: Any) -> bytes:
    """An encoded value that came inside another text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate is written as its escape
        return json.dumps(value, separators=(",", ":")).encode()
