"""The on-disk layout of a partition, in one place.

A partition is one LMDB environment with one (the main) database. The first byte of a key says what the row is; numbers
in keys are big-endian, so that rows sort by them, numbers in values little-endian.

| row   | key                                    | value                                                            |
| ----- | -------------------------------------- | ---------------------------------------------------------------- |
| meta  | `00`                                   | format u32, partition u32, epoch u64, group u64, next number u64 |
| name  | `01`, type id u32, name                | instance number u64, live bytes u64                              |
| data  | `02`, instance number u64, key (UTF-8) | the encoded value                                                |
| alarm | `03`, instance number u64              | due u64, scheduled u64 (us), retries u32, state u8, last error   |
| due   | `04`, due u64 (us), instance number u64 | type id u32, name                                               |

- An instance has a name row exactly as long as it has a data row or an alarm row.
- Live bytes are the lengths of the instance's keys (without prefix and number) and values.
- A due row exists for an alarm that is armed or retrying, not for one that is abandoned or parked.
- Every instance number in the partition is below the next number, which only grows: no number is ever used twice.
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

_META: Final = struct.Struct("<IIQQQ")
_NAME_KEY: Final = struct.Struct(">BI")
_NAME_ROW: Final = struct.Struct("<QQ")
_NUMBER_KEY: Final = struct.Struct(">BQ")
_ALARM_ROW: Final = struct.Struct("<QQIB")
_DUE_KEY: Final = struct.Struct(">BQQ")
_DUE_ROW: Final = struct.Struct(">I")

_NAME: Final = 1
_DATA: Final = 2
_ALARM: Final = 3
_DUE: Final = 4

PREFIX_BYTES: Final = _NUMBER_KEY.size  # what a data row's key has before the instance's own key

_ALARM_STATES: Final = ("armed", "retrying", "abandoned", "parked")
_DUE_STATES: Final = ("armed", "retrying")


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


def pack_name_row(number: int, live_bytes: int) -> bytes:
    """The value of a name row."""
    return _NAME_ROW.pack(number, live_bytes)


def unpack_name_row(row: bytes) -> tuple[int, int]:
    """Instance number and live bytes."""
    number, live_bytes = _NAME_ROW.unpack(row)
    return number, live_bytes


def data_prefix(number: int) -> bytes:
    """What the keys of all data rows of an instance begin with; that of `number + 1` ends them."""
    return _NUMBER_KEY.pack(_DATA, number)


def alarm_key(number: int) -> bytes:
    """The key of an instance's alarm row."""
    return _NUMBER_KEY.pack(_ALARM, number)


def pack_alarm(alarm: Alarm) -> bytes:
    """The value of an alarm row."""
    state = _ALARM_STATES.index(alarm.state)
    return _ALARM_ROW.pack(alarm.due_us, alarm.scheduled_us, alarm.retry_count, state) + alarm.last_error.encode(
        "utf-8", "replace"
    )


def unpack_alarm(row: bytes) -> Alarm:
    """What `pack_alarm` wrote."""
    due_us, scheduled_us, retry_count, state = _ALARM_ROW.unpack_from(row)
    return Alarm(due_us, retry_count, scheduled_us, _ALARM_STATES[state], row[_ALARM_ROW.size :].decode())


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


def pack_due_row(type_id: int, name: bytes) -> bytes:
    """The value of a due row."""
    return _DUE_ROW.pack(type_id) + name


def unpack_due_row(row: bytes) -> tuple[int, bytes]:
    """Type id and name."""
    (type_id,) = _DUE_ROW.unpack_from(row)
    return type_id, row[_DUE_ROW.size :]
