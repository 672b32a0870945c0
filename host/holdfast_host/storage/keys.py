"""The on-disk layout of a partition, in one place.

A partition is one LMDB environment with one (the main) database. The first byte of a key says what the row is; numbers
in keys are big-endian, so that rows sort by them, numbers in values little-endian.

| row     | key                                     | value                                                            |
| ------- | --------------------------------------- | ---------------------------------------------------------------- |
| meta    | `00`                                    | format u32, partition u32, epoch u64, group u64, next number u64 |
| name    | `01`, type id u32, name                 | number u64, live bytes u64, data number u64 where another        |
| data    | `02`, data number u64, key              | the encoded value                                                |
| alarm   | `03`, number u64                        | due u64, scheduled u64 (us), retries u32, state, marks u8, why   |
| due     | `04`, due u64 (us), number u64          | type id u32, name                                                |
| rest    | `05`, state u8, type id u32, number u64 | type id u32, name                                                |
| garbage | `06`, data number u64                   | nothing                                                          |

`number` is the instance's, `why` the last error. An instance's data number is its number, until so many rows are
cleared that they are left as garbage (see storage.garbage); from then on it is a newer one.

- An instance has a name row exactly as long as it has a data row or an alarm row.
- Every data row belongs to one name row, or to a garbage row; no name row has the data number of a garbage row.
- Live bytes are the lengths of the instance's keys (without prefix and number) and values.
- A due row exists for an alarm that is armed or retrying, a rest row for one that is abandoned or parked.
- Marks of an alarm: 1 an attempt has begun and its end is not recorded, 2 the last attempt ended with its worker.
- Every number in the partition is below the next number, which only grows: no number is ever used twice.
- The epoch grows by one with every open, the group with every commit of an epoch's worker.

FORMAT is the version of all this. A partition of another version is refused, never converted while it is opened.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.store import Alarm

FORMAT: Final = 1

META_KEY: Final = b"\0"
DUE_FIRST: Final = b"\4"
GARBAGE_FIRST: Final = b"\6"

_META: Final = struct.Struct("<IIQQQ")
_NAME_KEY: Final = struct.Struct(">BI")
_NAME_ROW: Final = struct.Struct("<QQ")
_NAME_ROW_AND_DATA: Final = struct.Struct("<QQQ")
_NUMBER_KEY: Final = struct.Struct(">BQ")
_ALARM_ROW: Final = struct.Struct("<QQIBB")
_DUE_KEY: Final = struct.Struct(">BQQ")
_REST_KEY: Final = struct.Struct(">BBIQ")
_INDEX_ROW: Final = struct.Struct(">I")

_NAME: Final = 1
_DATA: Final = 2
_ALARM: Final = 3
_DUE: Final = 4
_REST: Final = 5
_GARBAGE: Final = 6

PREFIX_BYTES: Final = _NUMBER_KEY.size  # what a data row's key has before the instance's own key

_ALARM_STATES: Final = ("armed", "retrying", "abandoned", "parked")
_DUE_STATES: Final = ("armed", "retrying")
_BEGUN: Final = 1
_KILLED: Final = 2


class Meta(NamedTuple):
    """The meta row of a partition."""

    partition: int
    epoch: int
    group: int
    next_number: int


def pack_meta(meta: Meta) -> bytes:
    """The meta row's value, in the format of this release."""
    return _META.pack(FORMAT, *meta)


def unpack_meta(row: bytes, where: str) -> Meta:
    """What `pack_meta` wrote; ConfigurationError, naming the version, for a row of another format."""
    version = int.from_bytes(row[:4], "little")
    if version != FORMAT or len(row) != _META.size:
        raise ConfigurationError(
            f"{where} has storage format {version}, this release reads format {FORMAT}: "
            "open it with the release that wrote it"
        )
    _, *fields = _META.unpack(row)
    return Meta(*fields)


def name_key(type_id: int, name: bytes) -> bytes:
    """The key of an instance's name row."""
    return _NAME_KEY.pack(_NAME, type_id) + name


def pack_name_row(number: int, live_bytes: int, data_number: int) -> bytes:
    """The value of a name row."""
    if data_number == number:
        return _NAME_ROW.pack(number, live_bytes)
    return _NAME_ROW_AND_DATA.pack(number, live_bytes, data_number)


def unpack_name_row(row: bytes) -> tuple[int, int, int]:
    """Number, live bytes and data number of an instance."""
    if len(row) == _NAME_ROW.size:
        number, live_bytes = _NAME_ROW.unpack(row)
        return number, live_bytes, number
    number, live_bytes, data_number = _NAME_ROW_AND_DATA.unpack(row)
    return number, live_bytes, data_number


def data_prefix(data_number: int) -> bytes:
    """What the keys of all data rows under a number begin with; that of `data_number + 1` ends them."""
    return _NUMBER_KEY.pack(_DATA, data_number)


def garbage_key(data_number: int) -> bytes:
    """The key of the garbage row for the data rows under a number."""
    return _NUMBER_KEY.pack(_GARBAGE, data_number)


def unpack_garbage_key(key: bytes) -> int:
    """The number of the data rows that are garbage."""
    _, data_number = _NUMBER_KEY.unpack(key)
    return int(data_number)


def alarm_key(number: int) -> bytes:
    """The key of an instance's alarm row."""
    return _NUMBER_KEY.pack(_ALARM, number)


def pack_alarm(alarm: Alarm) -> bytes:
    """The value of an alarm row."""
    state = _ALARM_STATES.index(alarm.state)
    marks = alarm.begun * _BEGUN + alarm.killed * _KILLED
    row = _ALARM_ROW.pack(alarm.due_us, alarm.scheduled_us, alarm.retry_count, state, marks)
    return row + alarm.last_error.encode("utf-8", "replace")


def unpack_alarm(row: bytes) -> Alarm:
    """What `pack_alarm` wrote."""
    due_us, scheduled_us, retry_count, state, marks = _ALARM_ROW.unpack_from(row)
    last_error = row[_ALARM_ROW.size :].decode()
    return Alarm(
        due_us, retry_count, scheduled_us, _ALARM_STATES[state], last_error, bool(marks & _BEGUN), bool(marks & _KILLED)
    )


def has_due_row(alarm: Alarm) -> bool:
    """Whether the alarm waits for its time."""
    return alarm.state in _DUE_STATES


def due_key(due_us: int, number: int) -> bytes:
    """The key of a due row."""
    return _DUE_KEY.pack(_DUE, due_us, number)


def unpack_due_key(key: bytes) -> tuple[int, int]:
    """Due time in microseconds, and instance number."""
    _, due_us, number = _DUE_KEY.unpack(key)
    return due_us, number


def rest_prefix(state: str, type_id: int | None = None) -> bytes:
    """What the keys of the rest rows of a state, or of a state and a type, begin with."""
    return _REST_KEY.pack(_REST, _ALARM_STATES.index(state), type_id or 0, 0)[: 2 if type_id is None else 6]


def index_prefix(state: str) -> bytes:
    """What the keys of all rows begin with that lead to the alarms in a state; others may be among them."""
    return DUE_FIRST if state in _DUE_STATES else rest_prefix(state)


def index_key(alarm: Alarm, type_id: int, number: int) -> bytes:
    """The key of the alarm's due or rest row."""
    if has_due_row(alarm):
        return due_key(alarm.due_us, number)
    return _REST_KEY.pack(_REST, _ALARM_STATES.index(alarm.state), type_id, number)


def number_of_index_key(key: bytes) -> int:
    """The instance number at the end of a due or rest row's key."""
    return int.from_bytes(key[-8:], "big")


def pack_index_row(type_id: int, name: bytes) -> bytes:
    """The value of a due or rest row."""
    return _INDEX_ROW.pack(type_id) + name


def unpack_index_row(row: bytes) -> tuple[int, bytes]:
    """Type id and name."""
    (type_id,) = _INDEX_ROW.unpack_from(row)
    return type_id, row[_INDEX_ROW.size :]
