"""Sockets: connections of clients that an instance has accepted, and what `ctx` does with them."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from holdfast._errors import CallRefusedError
from holdfast._host_imports import Err, raise_refusal
from holdfast._http import Request, Response
from holdfast._state.alarms import instant_of
from holdfast._values.codec import decode, decode_json, encode, encode_json, may_have_tags
from holdfast._values.tags import untag

if TYPE_CHECKING:
    from holdfast._host_imports import SocketsImport

ALL: Final = "{}"
_NONE: Final = '{"sockets":[]}'
_PLAIN: Final = "{}"  # what is said beside a text
PAGE: Final = 1_000
ID_CHARS: Final = 16
_ATTACHMENT: Final = "the attachment of a socket"
_UNREAD: Final = object()  # in place of an attachment
# How a host begins the event of a text message; the socket's id follows, and all else of it.
_HEARD: Final = '{"event":"message","binary":false,"socket":{"id":"'
_ID_AT: Final = len(_HEARD)
_ID_END: Final = _ID_AT + ID_CHARS
SOCKETS_REFUSED: Final = (
    "{type} has no socket_message(self, ws, message) that could hear of it: define it to accept a WebSocket"
)


class Socket:
    """A client's connection: a WebSocket, or an event stream (`is_events`), which only listens.

    What a turn sends leaves when it has committed, and not at all where it fails. To send to one that has gone does
    nothing: nobody has to ask first.

    Attributes:
        id: Its name, which no other socket ever has.
    """

    # Each message pays for what is made here: all but the id is read when somebody asks for it.
    __slots__ = ("_attachment", "_facts", "_host", "_tagged", "id")

    def __init__(self, host: SocketsImport, id_: str, facts: dict[str, Any] | str, tagged: bool = False) -> None:
        """`facts` may be the text of the event that has them; `tagged`: there may be values with tags in them."""
        self._host = host
        self.id = id_
        self._facts = facts
        self._tagged = tagged
        self._attachment: Any = _UNREAD

    @property
    def tags(self) -> tuple[str, ...]:
        """The names that it was accepted with."""
        return (*self._read()["tags"],)

    @property
    def protocol(self) -> str:
        """The subprotocol that was agreed on; empty for none."""
        protocol: str = self._read().get("protocol", "")
        return protocol

    @property
    def is_events(self) -> bool:
        """Whether it is an event stream."""
        events: bool = self._read().get("events", False)
        return events

    @property
    def opened_at(self) -> datetime:
        """When it was accepted, in UTC."""
        return instant_of(self._read()["opened_us"])

    @property
    def attachment(self) -> Any:
        """The value that belongs to it; assigning writes it, as a part of the turn. At most 16 KiB."""
        if self._attachment is _UNREAD:
            attachment = self._read().get("attachment")
            self._attachment = untag(attachment, _ATTACHMENT) if self._tagged else attachment
        return self._attachment

    @attachment.setter
    def attachment(self, value: Any) -> None:
        text = encode(value, _ATTACHMENT)
        with refusals():
            self._host.attach(self.id, text)
        self._attachment = decode(text)

    def send(self, message: str | bytes, event: str | None = None, id: str | None = None) -> None:  # noqa: A002
        """Send it a message.

        Args:
            message: Text, or bytes for a binary message of a WebSocket.
            event: On an event stream, the event's name.
            id: On an event stream, the event's id: what the client says in `Last-Event-ID` when it comes again.

        Raises:
            LimitError: The message is longer than 1 MiB, or the turn sends too much.
            TypeError, ValueError: It cannot be sent so.
        """
        if (event is not None or id is not None) and not self.is_events:
            raise TypeError("an event's name and id are for event streams, and this is a WebSocket")
        send(self._host, self._as_receiver(), message, event=event, event_id=id)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it. From the commit on nothing comes from it any more, and it is not among `get_sockets()`.

        Args:
            code: 1000, or 3000 to 4999 for reasons of your own.
            reason: At most 123 bytes.
        """
        with refusals():
            self._host.close(self._as_receiver(), code, reason)

    def _read(self) -> dict[str, Any]:
        facts = self._facts
        if isinstance(facts, str):
            self._tagged = may_have_tags(facts)
            self._facts = facts = decode_json(facts)["socket"]
        return facts

    def _as_receiver(self) -> str:
        """As the host reads to whom something is said."""
        return f'{{"ids":["{self.id}"]}}'

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Socket) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<holdfast socket {self.id}{', events' if self.is_events else ''}>"


class AcceptedResponse(Response):
    """What `fetch` returns to accept a socket; its headers may be added to.

    Attributes:
        socket: The socket, for a first word.
    """

    def __init__(self, socket: Socket, actor_type: str, name: str) -> None:
        super().__init__(status=200)
        self.socket = socket
        self.status = 200 if socket.is_events else 101
        self.accepted = {"type": actor_type, "name": name}


class Sockets:
    """The part of `ctx` that is about sockets."""

    __slots__ = ()

    type: str
    name: str

    @property
    def _sockets(self) -> SocketsImport:
        """The host's."""
        raise NotImplementedError

    @property
    def _hears_sockets(self) -> bool:
        """Whether the class has a `socket_message`."""
        raise NotImplementedError

    def accept_socket(
        self, request: Request, tags: Iterable[str] = (), attachment: Any = None, protocol: str | None = None
    ) -> AcceptedResponse:
        """Accept the WebSocket that a request wants; return what it returns from `fetch`.

        Example:
            def fetch(self, request):
                user = request.query["user"]
                return self.ctx.accept_socket(request, tags=[f"user:{user}"], attachment={"user": user})

        Args:
            request: The client's own, as `fetch` got it.
            tags: Up to 10 names to find it by, of at most 256 bytes.
            attachment: A value that belongs to it, of at most 16 KiB.
            protocol: The subprotocol, one of those that the client offers.

        Raises:
            ValueError: The request wants no WebSocket.
            RuntimeError: The class has no `socket_message`.
            LimitError: The instance has too many, or a tag or the attachment is too large.
        """
        if not request.wants_socket:
            raise ValueError(
                "this request wants no WebSocket: ask request.wants_socket first, and hand it on as it came"
            )
        if not self._hears_sockets:
            raise RuntimeError(SOCKETS_REFUSED.format(type=self.type))
        return self._accept(request, tags, attachment, protocol=protocol, events=False)

    def accept_events(self, request: Request, tags: Iterable[str] = (), attachment: Any = None) -> AcceptedResponse:
        """Accept the event stream that a request wants, as `accept_socket` a WebSocket; the client only listens.

        Raises:
            ValueError: The request wants no event stream.
            LimitError: As `accept_socket`.
        """
        if not request.wants_events:
            raise ValueError("this request wants no event stream: ask request.wants_events")
        return self._accept(request, tags, attachment, protocol=None, events=True)

    def get_sockets(self, tag: str | None = None) -> list[Socket]:
        """Those that are open, of those with a tag where one is given."""
        found: list[Socket] = []
        after = ""
        while True:
            with refusals():
                text = self._sockets.list(tag, after, PAGE)
            page, tagged = decode_json(text), may_have_tags(text)
            found += [_socket(self._sockets, facts, tagged) for facts in page["sockets"]]
            after = page.get("next", "")
            if not after:
                return found

    def count_sockets(self, tag: str | None = None) -> int:
        """How many are open, of those with a tag where one is given."""
        with refusals():
            return self._sockets.count(tag)

    def get_socket(self, id: str) -> Socket | None:  # noqa: A002
        """The socket of that name; None where it has gone."""
        if not isinstance(id, str):
            raise TypeError(f"the id of a socket is a str, not {type(id).__name__}")
        try:
            before = f"{int(id, 16) - 1:0{ID_CHARS}x}" if len(id) == ID_CHARS else ""
        except ValueError:
            return None
        with refusals():
            text = self._sockets.list(None, before, 1) if before else _NONE
        found, tagged = decode_json(text)["sockets"], may_have_tags(text)
        return next((_socket(self._sockets, facts, tagged) for facts in found if facts["id"] == id), None)

    def broadcast(
        self, message: str | bytes, tag: str | None = None, but: Socket | str | Iterable[Socket | str] = ()
    ) -> None:
        """Send a message to all sockets of the instance, or to those with a tag; event streams get text alone.

        Args:
            message: Text, or bytes for a binary message.
            tag: Only to those with it.
            but: Not to these: sockets or their ids.
        """
        send(self._sockets, _receivers(tag, but), message)

    def set_socket_auto_response(self, text: str | None, answer: str = "") -> None:
        """Have the host answer WebSocket messages that are `text`, without waking the instance; None ends it.

        Example:
            self.ctx.set_socket_auto_response("ping", "pong")
        """
        for given in (answer, "" if text is None else text):
            if not isinstance(given, str):
                raise TypeError(f"text and answer are str, this is {type(given).__name__}")
        if text == "":
            raise ValueError("an empty message is never answered by the host: give another text, or None to end it")
        with refusals():
            self._sockets.auto_response(text or "", answer)

    def _accept(
        self, request: Request, tags: Iterable[str], attachment: Any, *, protocol: str | None, events: bool
    ) -> AcceptedResponse:
        if isinstance(tags, str):
            raise TypeError(f"tags are several texts: write [{tags!r}]")
        names = list(tags)
        options = {"tags": names, "events": events, **({} if protocol is None else {"protocol": protocol})}
        text = encode_json(options)
        if attachment is not None:
            text = f'{text[:-1]},"attachment":{encode(attachment, _ATTACHMENT)}}}'
        with refusals():
            self._sockets.accept(request.offer, text)
        found = self.get_socket(request.offer)
        if found is None:
            raise RuntimeError("the socket was accepted, and the host does not list it")
        return AcceptedResponse(found, self.type, self.name)


def send(
    host: SocketsImport, to: str, message: str | bytes, *, event: str | None = None, event_id: str | None = None
) -> None:
    """Send a message to whom `to` says, as the host reads it."""
    options = _PLAIN
    if type(message) is not str or event is not None or event_id is not None:
        message, options = _as_sent(message, event, event_id)
    try:
        host.send(to, message, options)
    except Err as error:
        raise_refusal(error)


def _as_sent(message: str | bytes, event: str | None, event_id: str | None) -> tuple[str, str]:
    """The text of a message, and what is said beside it."""
    facts: dict[str, Any] = {}
    for name, text in (("event", event), ("id", event_id)):
        if text is None:
            continue
        if not isinstance(text, str):
            raise TypeError(f"the {name} of an event is a str, not {type(text).__name__}")
        if "\n" in text or "\r" in text or "\0" in text:
            raise ValueError(f"the {name} of an event has no line break and no NUL, this one is {text!r:.80}")
        facts[name] = text
    if isinstance(message, (bytes, bytearray, memoryview)):
        if facts:
            raise TypeError("an event is text")
        facts["binary"] = True
        message = binascii.b2a_base64(message, newline=False).decode("ascii")
    elif not isinstance(message, str):
        raise TypeError(f"a message is str or bytes, not {type(message).__name__}: json.dumps() makes one of a value")
    return message, encode_json(facts)


def run_handler(handler_of: Callable[[str], Callable[..., Any]], host: SocketsImport, event: str, message: str) -> Any:
    """Run the handler that an event is for; what it returns, which may be a coroutine.

    `handler_of` finds it by its name, or raises CallRefusedError.
    """
    if event.startswith(_HEARD):  # as most come
        return handler_of("socket_message")(Socket(host, event[_ID_AT:_ID_END], event), message)
    facts = decode_json(event)
    ws, kind = _socket(host, facts["socket"], may_have_tags(event)), facts["event"]
    if kind == "message":
        told: str | bytes = binascii.a2b_base64(message) if facts.get("binary") else message
        return handler_of("socket_message")(ws, told)
    if kind == "close":
        return handler_of("socket_close")(ws, facts["code"], facts["reason"], facts["clean"])
    if kind == "error":
        return handler_of("socket_error")(ws, SocketError(facts["code"], facts["reason"]))
    raise CallRefusedError("ActorUnknownMethodError", f"this component knows no event {kind!r} of a socket")


def _socket(host: SocketsImport, facts: dict[str, Any], tagged: bool) -> Socket:
    return Socket(host, facts["id"], facts, tagged)


class SocketError(Exception):
    """Why a socket was cut, as `socket_error` is told: it broke a rule, or took nothing.

    Attributes:
        code: What it was closed with, as 1009 for a message that was too long.
        reason: In words.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what the host's refusal stands for."""
    try:
        yield
    except Err as error:
        raise_refusal(error)


def _receivers(tag: str | None, but: Socket | str | Iterable[Socket | str]) -> str:
    left_out: Collection[Socket | str] = [but] if isinstance(but, (Socket, str)) else list(but)
    facts: dict[str, Any] = {} if tag is None else {"tag": tag}
    if left_out:
        facts["but"] = [each.id if isinstance(each, Socket) else each for each in left_out]
    return encode_json(facts) if facts else ALL
