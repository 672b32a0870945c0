"""The rows of sockets on disk: what a worker reads of them when it starts, and a room for its first broadcast."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast_host.core.limits import Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes, SocketRow, Store
from holdfast_host.storage.unflushed import Pending
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale

_LIMITS: Final = Limits()
_OF_ROOM: Final = 10_000
_ROOMS: Final = 10
_TYPE_ID: Final = 1
_PAGE: Final = 256  # of rows, as a worker reads them between turns
_ROW: Final = SocketRow(1_790_000_000_000_000, tags=b"\0user:somebody\0", attachment=b'{"user":"somebody"}')


def measure(section: Section, scale: Scale) -> None:
    """Milliseconds in this process, through the store of a worker."""
    with _stored() as store:
        room = store.locate(_TYPE_ID, b"room-0")
        started = [_took_ms(lambda: _read_all(store)) for _ in range(scale.rounds)]
        first = [_took_ms(lambda: Pending().read_sockets(store, room)) for _ in range(scale.rounds)]
    section.table(
        "rows of sockets, read by this process",
        ["what", "ms"],
        [
            [f"{_ROOMS * _OF_ROOM:,} at the start of a worker", section.figure("sockets/rows/start_ms", started)],
            [f"{_OF_ROOM:,} of one room, for its first broadcast", section.figure("sockets/rows/room_ms", first)],
        ],
    )


def _read_all(store: Store) -> None:
    rows, after = 0, b""
    position: bytes | None = after
    while position is not None:
        page, position = store.socket_page(position, _PAGE)
        rows += len(page)
    assert rows == _ROOMS * _OF_ROOM, rows


def _took_ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1_000


@contextmanager
def _stored() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        ensure_data_directory(data, 1)
        store = LmdbStore.open(data, [0], _LIMITS)
        ((_, group),) = store.reached().values()
        for number in range(_ROOMS):
            room = store.locate(_TYPE_ID, b"room-%d" % number)
            sockets: dict[int, SocketRow | None] = dict.fromkeys(
                range((number + 1) << 20, ((number + 1) << 20) + _OF_ROOM), _ROW
            )
            store.look_up(room)
            report = store.commit(group := group + 1, [Batch(room, Changes(sockets=sockets))])
            assert not report.lost
        yield store
        store.close()
