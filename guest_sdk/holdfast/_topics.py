"""Topics: numbered sequences of events, which clients follow and take up again where they were.

A topic is keys of the instance: `~topic/NAME` says which events it holds, `~topic/NAME/NUMBER` is one of them. An
event's id has the topic's own mark beside its number: a topic that was begun anew, after `delete_all()`, has another.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Final

from holdfast._http import Request
from holdfast._sockets import AcceptedResponse, Socket, Sockets, send
from holdfast._state.storage import Storage
from holdfast._values.codec import encode_json, encode_plain

PREFIX: Final = "~topic/"
TAG: Final = "topic:"
TOPIC_BYTES_MAX: Final = 200
KEEP_MAX: Final = 5_000
KEPT_BYTES_MAX: Final = 4 << 20
RESET: Final = "reset"
AGAIN: Final = "again"  # an answer that is published while it comes begins anew
_PAGE: Final = 500
_DIGITS: Final = 20


class Topics(Sockets):
    """The part of `ctx` that is about topics."""

    __slots__ = ()

    storage: Storage

    def publish(self, topic: str, data: Any, event: str | None = None, keep: int = 1_000) -> int:
        """Add an event to a topic, and send it to all who follow it; its number, from 1 on.

        Args:
            topic: Its name, of at most 200 bytes.
            data: Text, or a value that JSON has, which is made into it.
            event: What kind of event it is, for the clients.
            keep: How many events are kept for those who come again, 1 to 5,000; of all, 4 MiB at most.

        Raises:
            ValueError: An argument breaks its rule.
        """
        key = _key_of(topic)
        if type(keep) is not int or not 1 <= keep <= KEEP_MAX:
            raise ValueError(f"a topic keeps 1 to {KEEP_MAX} events, not {keep!r}")
        if event == RESET:
            raise ValueError(f"no event is called {RESET!r}: so clients are told that they have missed some")
        text = data if isinstance(data, str) else encode_plain(data, f"an event of the topic {topic!r}")
        with self.storage.transaction():  # one that cannot be sent is not kept either, though its error is caught
            return self._publish(topic, key, text, event, keep)

    def _publish(self, topic: str, key: str, text: str, event: str | None, keep: int) -> int:
        head = self.storage.get(key) or {"mark": secrets.token_hex(4), "first": 1, "next": 1, "bytes": 0}
        number: int = head["next"]
        first, size = head["first"], head["bytes"] + len(text.encode("utf-8", "surrogatepass"))
        self.storage.put(_key_of_event(key, number), [event, text])
        while number - first >= keep or (size > KEPT_BYTES_MAX and first < number):
            dropped = self.storage.get(_key_of_event(key, first))
            self.storage.delete(_key_of_event(key, first))
            size -= len(dropped[1].encode("utf-8", "surrogatepass")) if dropped else 0
            first += 1
        self.storage.put(key, {**head, "first": first, "next": number + 1, "bytes": size})
        self._tell(encode_json({"tag": TAG + topic}), f"{number}-{head['mark']}", event, text)
        return number

    def subscribe(
        self,
        request: Request,
        topic: str,
        after: int | str | None = None,
        tags: Iterable[str] = (),
        attachment: Any = None,
    ) -> AcceptedResponse:
        """Accept a client that follows a topic: first what it has missed, then what comes, with nothing between.

        A WebSocket gets each event as `{"id":...,"event":...,"data":...}`, an event stream as an event of its own.
        Where the topic does not hold all that came after, an event `reset` comes first, and then what there is.

        Args:
            request: The client's own, as `fetch` got it.
            topic: Its name.
            after: What the client has: the id of its last event, or its number, 0 for none of all. Else the request
                says it (`Last-Event-ID`); where neither does, nothing is sent but what comes.
            tags: As for `accept_socket`; the topic takes one of the 10.
            attachment: As for `accept_socket`.
        """
        key = _key_of(topic)
        if isinstance(tags, str):
            raise TypeError(f"tags are several texts: write [{tags!r}]")
        names = [*tags, TAG + topic]
        accept = self.accept_socket if request.wants_socket else self.accept_events
        response = accept(request, tags=names, attachment=attachment)
        has = request.headers.get("Last-Event-ID") if after is None else after
        if has is not None and has != "":
            self._replay(response.socket, key, has)
        return response

    def _replay(self, socket: Socket, key: str, has: int | str) -> None:
        head = self.storage.get(key)
        number, mark = _read_id(has)
        if head is None:
            if number:
                self._send_to(socket, "", RESET, encode_json({"first": 1}))
            return
        first, following = head["first"], head["next"]
        whole = mark in (None, head["mark"]) and first - 1 <= number < following
        if not whole:
            self._send_to(socket, "", RESET, encode_json({"first": first}))
            number = first - 1
        start = _key_of_event(key, number)
        while True:
            page = self.storage.list(prefix=f"{key}/", start_after=start, limit=_PAGE)
            for start, (event, text) in page.items():
                self._send_to(socket, f"{int(start.rpartition('/')[2])}-{head['mark']}", event, text)
            if len(page) < _PAGE:
                return

    def _send_to(self, socket: Socket, event_id: str, event: str | None, text: str) -> None:
        ids = encode_json({"ids": [socket.id]})
        if socket.is_events:
            send(self._sockets, ids, text, event=event, event_id=event_id or None)
        else:
            send(self._sockets, ids, _as_message(event_id, event, text))

    def _tell(self, to: str, event_id: str, event: str | None, text: str) -> None:
        """Those who follow, each in its way."""
        send(self._sockets, f'{to[:-1]},"events":true}}', text, event=event, event_id=event_id)
        send(self._sockets, f'{to[:-1]},"events":false}}', _as_message(event_id, event, text))


def _as_message(event_id: str, event: str | None, text: str) -> str:
    return encode_json({"id": event_id, "event": event, "data": text})


def _read_id(has: int | str) -> tuple[int, str | None]:
    """The number, and the mark of the topic that gave it; -1 for what is no id of ours: it has a gap."""
    if type(has) is int:
        return has, None
    if not isinstance(has, str):
        raise TypeError(f"after is the id or the number of an event, not {type(has).__name__}")
    number, _, mark = has.partition("-")
    if not number.isascii() or not number.isdigit() or len(number) > _DIGITS:
        return -1, None
    return int(number), mark or None


def _key_of(topic: str) -> str:
    return PREFIX + checked_topic(topic)


def checked_topic(topic: str) -> str:
    """The name of a topic itself; TypeError or ValueError where it is none."""
    if not isinstance(topic, str):
        raise TypeError(f"the name of a topic is a str, not {type(topic).__name__}")
    size = len(topic.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= TOPIC_BYTES_MAX or "\0" in topic or "/" in topic:
        raise ValueError(f"the name of a topic has 1 to {TOPIC_BYTES_MAX} bytes without NUL and '/', not {topic!r:.80}")
    return topic


def _key_of_event(key: str, number: int) -> str:
    return f"{key}/{number:0{_DIGITS}d}"
