"""What `worker.inspection.queries` answers about sockets, as of the last commit. Runs on its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.core.json_text import JsonObject
from holdfast_host.wire.sockets.frames import read_socket, socket_text
from holdfast_host.worker.turns.turn_sockets import tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from holdfast_host.storage.store import SocketRow, Store

_PAGE_MAX: Final = 1_000


def types_with_sockets(store: Store, type_ids: Set[int], is_live: Callable[[int], bool]) -> set[int]:
    """Those of these types of which an instance has a WebSocket that is open. Any thread."""
    found: set[int] = set()
    after: bytes | None = b""
    while after is not None and found != type_ids:
        page, after = store.socket_page(after, _PAGE_MAX)
        found.update(
            instance.type_id
            for instance, socket, row in page
            if instance.type_id in type_ids and socket and not row.events and not row.closed and is_live(socket)
        )
    return found


def socket_readers(store: Store, is_live: Callable[[int], bool]) -> dict[str, Callable[[JsonObject], JsonObject]]:
    """The readers by the name of their question."""

    def read_sockets(facts: JsonObject) -> JsonObject:
        """A page of an instance's open sockets: `type_id`, `name`, `after` (an id or empty), `limit`."""
        instance = store.locate(facts["type_id"], facts["name"].encode())
        after = read_socket(facts["after"])
        page, following = store.sockets(instance, after, max(1, min(int(facts["limit"]), _PAGE_MAX)))
        found = [
            _describe(socket, row)
            for socket, row in page
            if socket and not row.closed and row.ending is None and is_live(socket)
        ]
        return {"sockets": found, "next": None if following is None else socket_text(following)}

    return {"sockets": read_sockets}


def _describe(socket: int, row: SocketRow) -> JsonObject:
    row = row.read()
    return {
        "id": socket_text(socket),
        "tags": tags_of(row),
        "attachment": row.attachment.decode() if row.attachment else None,
        "opened_us": row.opened_us,
        "events": row.events,
    }
