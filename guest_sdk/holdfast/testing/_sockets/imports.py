"""`holdfast:actor/sockets`, for the turns of one host: sockets are writes of the turn, and have its limits."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from holdfast.testing._failures import RefusedError
from holdfast.testing._limits import Limits
from holdfast.testing._overlay import Overlay
from holdfast.testing._records import bytes_of
from holdfast.testing._sandbox import served
from holdfast.testing._sockets.rows import Sent, SocketRow
from holdfast.testing._turn import Turn

if TYPE_CHECKING:
    from holdfast.testing._sockets.network import Network

_CODES: Final = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
_REASON_BYTES_MAX: Final = 123
_EVENT_BYTES_MAX: Final = 1_024  # of an event's name and of its id


class UsedSockets:
    """The import. `network` has the clients."""

    def __init__(
        self, running: Callable[[], Turn], network: Network, now_us: Callable[[], int], limits: Limits
    ) -> None:
        self._running = running
        self._network = network
        self._now_us = now_us
        self._limits = limits

    @served
    def accept(self, socket: str, options: str) -> None:
        """Accept what the turn was offered."""
        turn, overlay = self._entered()
        limits, facts = self._limits, json.loads(options)
        if not socket or socket != turn.offer:
            what = "the socket of the request that its fetch was given" if turn.offer else "none"
            raise self._bad(turn, f"this turn may accept {what}, not {socket!r}")
        if socket in overlay.sockets():
            raise self._bad(turn, f"the socket {socket} is accepted already")
        tags = tuple(dict.fromkeys(facts.get("tags", ())))
        if len(tags) > limits.socket_tags_max:
            raise self._over(turn, f"{len(tags)} tags of a socket, the limit is {limits.socket_tags_max}")
        for tag in tags:
            if not 1 <= bytes_of(tag) <= limits.socket_tag_bytes_max:
                text = f"a tag of {bytes_of(tag)} bytes, it has 1 to {limits.socket_tag_bytes_max} bytes"
                raise self._over(turn, text)
            if "\0" in tag:
                raise self._bad(turn, "a tag must not contain NUL")
        count = len(overlay.sockets())
        if count >= limits.instance_sockets_max:
            raise self._over(turn, f"{count} sockets, the limit is {limits.instance_sockets_max}")
        attachment = json.dumps(facts.get("attachment"), ensure_ascii=False, separators=(",", ":"))
        self._check_attachment(turn, attachment)
        overlay.write_socket(
            socket,
            SocketRow(socket, self._now_us(), facts.get("events", False), tags, facts.get("protocol", ""), attachment),
        )
        if turn.record is not None:
            self._network.accepted(turn.record)

    @served
    def list(self, tag: str | None, after: str, limit: int) -> str:
        """A page of those that are open."""
        _, overlay = self._entered()
        found = [row for id_, row in sorted(self._open(overlay, tag).items()) if id_ > after]
        page: dict[str, Any] = {"sockets": [row.facts() for row in found[:limit]]}
        if len(found) > limit:
            page["next"] = found[limit - 1].id
        return json.dumps(page)

    @served
    def count(self, tag: str | None) -> int:
        """How many are open."""
        return len(self._open(self._entered()[1], tag))

    @served
    def send(self, to: str, message: str, options: str) -> None:
        """Have a message leave with what the turn commits."""
        turn, overlay = self._entered()
        facts, limit = json.loads(options), self._limits.socket_message_bytes_max
        told: str | bytes = binascii.a2b_base64(message) if facts.get("binary") else message
        size = bytes_of(told) if isinstance(told, str) else len(told)
        if size > limit:
            raise self._over(turn, f"a message of {size} bytes, the limit is {limit} bytes")
        for name in ("event", "id"):
            named = bytes_of(facts.get(name, ""))
            if named > _EVENT_BYTES_MAX:
                text = f"{name!r} of an event has {named} bytes, the limit is {_EVENT_BYTES_MAX} bytes"
                raise self._over(turn, text)
        rows = self._receivers(overlay, to).values()
        plain = tuple(row.id for row in rows if not row.events)
        streams = tuple(row.id for row in rows if row.events and isinstance(told, str))
        if plain:
            self._send(turn, overlay, Sent(plain, told), size)
        if streams:
            self._send(turn, overlay, Sent(streams, told, facts.get("event"), facts.get("id")), size)

    @served
    def attach(self, socket: str, value: str) -> None:
        """Keep another attachment."""
        turn, overlay = self._entered()
        self._check_attachment(turn, value)
        row = self._open(overlay, None).get(socket)
        if row is not None:
            overlay.write_socket(socket, replace(row, attachment=value))

    @served
    def close(self, to: str, code: int, reason: str) -> None:
        """Have them closed."""
        turn, overlay = self._entered()
        if not any(code in codes for codes in _CODES):
            text = f"{code} is no code to close with: 1000 to 1003, 1007 to 1014, 3000 to 4999 are"
            raise self._bad(turn, text)
        if bytes_of(reason) > _REASON_BYTES_MAX:
            text = f"a reason of {bytes_of(reason)} bytes to close with, the limit is {_REASON_BYTES_MAX} bytes"
            raise self._bad(turn, text)
        rows = self._receivers(overlay, to)
        for id_, row in rows.items():
            overlay.write_socket(id_, replace(row, closed=True))
        if rows:
            overlay.send(Sent(tuple(rows), code=code, reason=reason))

    @served
    def auto_response(self, text: str, answer: str) -> None:
        """Have the host answer that text."""
        turn, overlay = self._entered()
        limit = self._limits.socket_auto_response_bytes_max
        for what, said in (("text", text), ("answer", answer)):
            if bytes_of(said) > limit:
                size = bytes_of(said)
                raise self._over(turn, f"an auto response whose {what} has {size} bytes, the limit is {limit} bytes")
        receivers = [row.id for row in self._open(overlay, None).values() if not row.events]
        if receivers:
            self._count(turn, overlay, bytes_of(text) + bytes_of(answer) + 4 * len(receivers))
        overlay.set_auto_response((text, answer) if text else None)

    # Inside

    def _entered(self) -> tuple[Turn, Overlay]:
        turn = self._running()
        if turn.record is None:
            text = "a function has no sockets: hand the request on to the fetch of an actor, by env"
            raise RefusedError("UnsupportedError", text)
        turn.host_call()
        return turn, turn.overlay

    def _open(self, overlay: Overlay, tag: str | None) -> dict[str, SocketRow]:
        return {
            id_: row
            for id_, row in overlay.sockets().items()
            if not row.closed and (tag is None or tag in row.tags) and self._network.is_live(id_)
        }

    def _receivers(self, overlay: Overlay, to: str) -> dict[str, SocketRow]:
        facts = json.loads(to)
        if "ids" in facts:
            found = self._open(overlay, None)
            return {id_: found[id_] for id_ in facts["ids"] if id_ in found}
        but: Collection[str] = facts.get("but", ())
        events = facts.get("events")
        return {
            id_: row
            for id_, row in self._open(overlay, facts.get("tag")).items()
            if id_ not in but and events in (None, row.events)
        }

    def _send(self, turn: Turn, overlay: Overlay, sent: Sent, size: int) -> None:
        self._count(turn, overlay, size + 4 * len(sent.ids))
        overlay.send(sent)

    def _count(self, turn: Turn, overlay: Overlay, size: int) -> None:
        limits = self._limits
        count, total = overlay.count_send(size)
        if count > limits.turn_sends_max:
            text = f"sending {count} messages in one turn exceeds the limit of {limits.turn_sends_max} messages"
            raise RefusedError("LimitError", f"{text} ({turn.label})")
        if total > limits.turn_send_bytes_max:
            text = f"sending {total} bytes in one turn exceeds the limit of {limits.turn_send_bytes_max} bytes"
            raise RefusedError("LimitError", f"{text} ({turn.label})")

    def _check_attachment(self, turn: Turn, text: str) -> None:
        limit = self._limits.socket_attachment_bytes_max
        if bytes_of(text) > limit:
            raise self._over(turn, f"an attachment of {bytes_of(text)} bytes, the limit is {limit} bytes")

    def _bad(self, turn: Turn, text: str) -> RefusedError:
        return RefusedError("BadRequestError", f"{turn.label}: {text}")

    def _over(self, turn: Turn, text: str) -> RefusedError:
        return RefusedError("LimitError", f"{turn.label}: {text}")
