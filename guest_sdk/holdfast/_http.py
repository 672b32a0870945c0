"""`Request` and `Response` of fetch handlers: headers that are blind to case and may repeat, bodies that are whole.

A function's response may also have an iterator as its body, which the host asks for one piece after the other.

On the wire both are one JSON object; a short body that is UTF-8 travels as text (`body`), any other one as base64
(`body_base64`): its size is known then, and no more than two copies of it are in memory at once.
"""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from holdfast._values.codec import decode_given, decode_json, encode_json, encode_plain
from holdfast._values.json_escapes import string_text

TEXT_BYTES_MAX = 64 << 10
_BODY_BASE64 = '"body_base64":"'
_BODY_END = b'"}'
_PART_BYTES = 48 << 10  # a multiple of 3, so that the parts' base64 can stand side by side
_PART_CHARS = _PART_BYTES // 3 * 4
_JSON_KIND: Final = "application/json"
_JSON_HEADERS: Final = (("Content-Type", _JSON_KIND),)
# The text of a usual response, in front of its body: what `encode_json` would make of it.
_JSON_HEAD: Final = f',"headers":[["Content-Type","{_JSON_KIND}"]],"body":'
# Path and query of the usual URL, as `urlsplit` would find them.
_USUAL_URL: Final = re.compile(r"https?://[^/?#\[\]\x00-\x20]*(/[^?#\x00-\x20]*)?(?:\?([^#\x00-\x20]*))?", re.ASCII)

Pieces = Iterator[str | bytes] | AsyncIterator[str | bytes]
HeaderPairs = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers:
    """HTTP headers: names are blind to case, a name may repeat, the order is kept.

    Example:
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: HeaderPairs | Headers | None = None) -> None:
        self._pairs: list[tuple[str, str]] = []
        if isinstance(pairs, Headers):
            self._pairs += pairs.items()
            return
        for name, value in pairs.items() if isinstance(pairs, Mapping) else (pairs or ()):
            self.add(name, value)

    @classmethod
    def from_wire(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """What the other side has checked already."""
        headers = cls()
        headers._pairs = [(name, value) for name, value in pairs]
        return headers

    def add(self, name: str, value: str) -> None:
        """Add one more header of that name."""
        self._pairs.append((_header_text("name", name), _header_text("value", value)))

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of that name."""
        wanted = name.lower()
        return next((value for each, value in self._pairs if each.lower() == wanted), default)

    def get_all(self, name: str) -> list[str]:
        """All values of that name, in order."""
        wanted = name.lower()
        return [value for each, value in self._pairs if each.lower() == wanted]

    def items(self) -> list[tuple[str, str]]:
        """All headers as pairs, in order."""
        return list(self._pairs)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        """Replace every header of that name by one."""
        del self[name]
        self.add(name, value)

    def __delitem__(self, name: str) -> None:
        """Remove every header of that name; it need not be there."""
        wanted = name.lower()
        self._pairs = [pair for pair in self._pairs if pair[0].lower() != wanted]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        wanted = name.lower()
        return any(each.lower() == wanted for each, _ in self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(n.lower(), v) for n, v in self._pairs] == [(n.lower(), v) for n, v in other._pairs]

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


class _Message:
    """What Request and Response share: headers and a whole body.

    What most handlers never look at is not made: the headers are, when somebody asks for them.
    """

    _headers: Headers | None  # once somebody has asked for them
    _pairs: Iterable[tuple[str, str]]  # what they are made of then, checked already
    _known_text: str | None  # the text of `_body_of_text`, where that is known

    def __init__(self, headers: HeaderPairs | Headers | None, body: str | bytes) -> None:
        if not isinstance(body, (str, bytes)):
            raise TypeError(f"a body is str or bytes, not {type(body).__name__}")
        self._headers = Headers(headers)
        self._take_body(body)

    def _adopt(self, pairs: Iterable[tuple[str, str]], body: str | bytes) -> None:
        """In the place of the constructor: what was checked already."""
        self._headers, self._pairs = None, pairs
        self._take_body(body)

    def _take_body(self, body: str | bytes) -> None:
        self._known_text = body if isinstance(body, str) else None
        self.body = self._body_of_text = body.encode() if isinstance(body, str) else body

    @property
    def headers(self) -> Headers:
        """The headers, which can be changed."""
        if self._headers is None:
            self._headers = Headers.from_wire(self._pairs)
        return self._headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers

    def text(self) -> str:
        """The body as UTF-8 text; UnicodeDecodeError (a ValueError) where it is none."""
        text = self._known_text
        return text if text is not None and self.body is self._body_of_text else self.body.decode()

    def _wire(self, facts: dict[str, Any]) -> str:
        facts["headers"] = self.headers.items()
        if len(self.body) <= TEXT_BYTES_MAX:
            try:
                facts["body"] = self.text()
                return encode_json(facts)
            except UnicodeDecodeError:
                pass
        head = f"{encode_json(facts)[:-1]},{_BODY_BASE64}".encode("utf-8", "surrogatepass")
        # Made at once: a text that grows may move each time, and leave holes in a small memory.
        text = bytearray(len(head) + (len(self.body) + 2) // 3 * 4 + len(_BODY_END))
        text[: len(head)] = head
        at = len(head)
        for start in range(0, len(self.body), _PART_BYTES):
            part = binascii.b2a_base64(self.body[start : start + _PART_BYTES], newline=False)
            text[at : at + len(part)] = part
            at += len(part)
        text[at:] = _BODY_END
        return text.decode("utf-8", "surrogatepass")


class Request(_Message):
    """An HTTP request, as a fetch handler gets it, or as a caller makes one for `stub.fetch`.

    Attributes:
        method: `GET`, `POST`, ... in upper case.
        url: The whole URL, as it was sent.
        headers: Its headers.
        body: The whole body.
        client: The address of the client that sent it, as `203.0.113.7`; empty for one that an actor or function has
            made. Behind a proxy the host has to be told of that (`holdfast serve --trusted-proxy`), as for scheme and
            host of `url`; do not read the headers for it, which anybody can write.
        offer: The socket that an actor may accept; empty where the client wants none. For the runtime: a text of your
            own is refused.
    """

    def __init__(
        self,
        url: str,
        method: str = "GET",
        headers: HeaderPairs | Headers | None = None,
        body: str | bytes = b"",
        client: str = "",
        offer: str = "",
    ) -> None:
        super().__init__(headers, body)
        self.offer = offer
        self.method = method.upper()
        self.url = url
        self.client = client
        self._parts = _path_and_query(url)

    _parts: tuple[str, str] | None = None  # path and query, once somebody has asked

    @property
    def _path_and_query(self) -> tuple[str, str]:
        """As they stand in the URL."""
        if self._parts is None:
            self._parts = _path_and_query(self.url)
        return self._parts

    @property
    def wants_socket(self) -> bool:
        """Whether the client wants a WebSocket: an actor may `ctx.accept_socket` it."""
        return bool(self.offer) and (self.headers.get("upgrade") or "").lower() == "websocket"

    @property
    def wants_events(self) -> bool:
        """Whether the client wants an event stream: an actor may `ctx.accept_events` it."""
        return bool(self.offer) and not self.wants_socket

    @property
    def path(self) -> str:
        """The URL's path, percent-decoded; `/` where it has none."""
        path = self._path_and_query[0]
        return (unquote(path) if "%" in path else path) or "/"

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of a name that repeats, the last value."""
        query = self._path_and_query[1]
        return dict(parse_qsl(query, keep_blank_values=True)) if query else {}

    def query_all(self, name: str) -> list[str]:
        """All values of one parameter, in order."""
        pairs = parse_qsl(self._path_and_query[1], keep_blank_values=True)
        return [value for each, value in pairs if each == name]

    def json(self) -> Any:
        """The body as JSON; ValueError where it is none, or has a number that no float can hold, like `1e400`."""
        return decode_given(self.text())

    def to_wire(self, **further: Any) -> str:
        """As `wit/instance.wit` spells a request; `further` members are those of `wit/http.wit`."""
        known = {"client": self.client} if self.client else {}
        if self.offer:
            known["socket"] = self.offer
        return self._wire({"method": self.method, "url": self.url, **known, **further})

    @classmethod
    def from_wire(cls, text: str) -> Request:
        """What `to_wire` wrote."""
        facts, body = _read(text)
        request = cls.__new__(cls)
        request.url, request.method = facts["url"], facts["method"].upper()
        request.client, request.offer = facts.get("client", ""), facts.get("socket", "")
        request._adopt(facts.get("headers", ()), body)  # noqa: SLF001  (its own)
        return request

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"


class Response(_Message):
    """An HTTP response.

    Args:
        body: Text (`text/plain; charset=utf-8` unless a header says otherwise) or bytes. Or, from a function, an
            iterator of such pieces: a generator, an answer of `http.stream`, also an async generator. Its client gets
            each piece as it comes; they count as text unless a header says otherwise.
        status: 200 to 599.
        headers: A mapping, or pairs where a name repeats (`Set-Cookie`).

    Attributes:
        pieces: The iterator that is the body; None where the body is whole, and then it is `body`.
    """

    accepted: dict[str, str] | None = None  # the type and name of the instance that accepts the client's socket

    def __init__(
        self, body: str | bytes | Pieces = "", status: int = 200, headers: HeaderPairs | Headers | None = None
    ) -> None:
        if type(status) is not int or not 200 <= status <= 599:
            raise ValueError(f"the status of a response is 200 to 599, not {status!r}")
        self.pieces: Pieces | None = None
        if isinstance(body, (str, bytes)):
            super().__init__(headers, body)
        elif isinstance(body, (Iterator, AsyncIterator)):
            super().__init__(headers, b"")
            self.pieces = body
        else:
            kind = type(body).__name__
            raise TypeError(f"a body is str, bytes or an iterator of them, not {kind}: of a list, iter() makes one")
        self.status = status
        if body and "content-type" not in self.headers:
            kind = "application/octet-stream" if isinstance(body, bytes) else "text/plain; charset=utf-8"
            self.headers.add("Content-Type", kind)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: HeaderPairs | Headers | None = None) -> Response:
        """A response whose body is a value as plain JSON.

        Raises:
            CodecError: The value has something that JSON cannot express; the message names the path to it.
        """
        text = encode_plain(value, "the response")
        if headers is None and cls is Response and type(status) is int and 200 <= status <= 599:
            response = cls.__new__(cls)
            response.pieces, response.status = None, status
            response._adopt(_JSON_HEADERS, text)  # noqa: SLF001  (its own)
            return response
        found = Headers(headers)
        if "content-type" not in found:
            found.add("Content-Type", _JSON_KIND)
        return cls(text, status, found)

    def to_wire(self) -> str:
        """As `wit/instance.wit` spells a response."""
        if self._headers is None and self._pairs is _JSON_HEADERS and self.accepted is None:
            body = self.body
            text, status = self._known_text, self.status
            if body is self._body_of_text and text and len(body) <= TEXT_BYTES_MAX and type(status) is int:
                return f'{{"status":{status}{_JSON_HEAD}{string_text(text)}}}'
        if self.pieces is not None:
            return encode_json({"status": self.status, "headers": self.headers.items(), "body_follows": True})
        return self._wire({"status": self.status, **({"socket": self.accepted} if self.accepted else {})})

    @classmethod
    def from_wire(cls, text: str) -> Self:
        """What `to_wire` wrote."""
        facts, given = _read(text)
        body = given.encode() if isinstance(given, str) else given  # what it is, its headers say
        accepted, status, headers = facts.get("socket"), facts["status"], Headers.from_wire(facts.get("headers", ()))
        if accepted is None:
            return cls(body, status, headers)
        response = cls(body, 200, headers)
        response.status, response.accepted = status, accepted  # 101, which nobody may say of his own
        return response

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if self.pieces is None else "in pieces"
        return f"<Response {self.status}, {size}>"


def body_bytes(message: str) -> int:
    """How many bytes the body of a request or response has, from its text."""
    body = _read(message)[1]
    return len(body.encode() if isinstance(body, str) else body)


def has_body_to_follow(response: str) -> bool:
    """Whether the body of a response comes in pieces after it, from its text."""
    return '"body_follows"' in response and decode_json(response).get("body_follows") is True


def _path_and_query(url: str) -> tuple[str, str]:
    found = _USUAL_URL.fullmatch(url) if url.isascii() else None
    if found is None:
        parts = urlsplit(url)
        return parts.path, parts.query
    return found[1] or "", found[2] or ""


def _read(text: str) -> tuple[dict[str, Any], str | bytes]:
    """The facts and the body; a long body that stands last, as here and in the host, is not copied on its way."""
    start = text.find(_BODY_BASE64, 0, TEXT_BYTES_MAX) if len(text) > TEXT_BYTES_MAX else -1
    if start < 0 or not text.endswith('"}') or text.find('"', start + len(_BODY_BASE64)) != len(text) - 2:
        facts = decode_json(text)
        return facts, _body_of(facts)
    facts = decode_json(text[:start].rstrip(", \n") + "}")
    first, end = start + len(_BODY_BASE64), len(text) - 2
    body = io.BytesIO()
    for at in range(first, end, _PART_CHARS):
        body.write(binascii.a2b_base64(text[at : min(at + _PART_CHARS, end)], strict_mode=True))
    return facts, body.getvalue()


def _body_of(facts: dict[str, Any]) -> str | bytes:
    encoded = facts.pop("body_base64", None)
    if encoded is not None:
        return binascii.a2b_base64(encoded, strict_mode=True)
    text: str = facts.get("body", "")
    return text


def _header_text(what: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"the {what} of a header is a str, not {type(text).__name__}")
    if "\n" in text or "\r" in text or "\0" in text or (what == "name" and not text):
        raise ValueError(f"{text!r:.80} cannot be the {what} of a header")
    return text
