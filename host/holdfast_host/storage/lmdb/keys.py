"""The on-disk layout of a partition, in one place.

A partition is one LMDB environment with one (the main) database. The first byte of a key says what the row is; numbers
in keys are big-endian, so that rows sort by them, numbers in values little-endian.

| row     | key                                     | value                                                            |
| ------- | --------------------------------------- | ---------------------------------------------------------------- |
| meta    | `00`                                    | format u32, partition u32, epoch u64, group u64, next number u64 |
| name    | `01`, type id u32, name                 | number u64, live bytes u64, and where one of the two is needed   |
|         |                                         | data number u64, or data number u64, bytes apart u64             |
| data    | `02`, data number u64, key              | the encoded value                                                |
| alarm   | `03`, number u64                        | due u64, scheduled u64 (us), retries u32, state, marks u8, why   |
| due     | `04`, due u64 (us), number u64          | type id u32, name                                                |
| rest    | `05`, state u8, type id u32, number u64 | type id u32, name                                                |
| garbage | `06`, number u64                        | nothing; 01 where receipts and jobs under it are garbage too     |
| job     | `07`, number u64, id 16 bytes           | type id u32, kind, state, marks u8, due, scheduled, tried u64    |
|         |                                         | (us), tries, retries u32, lengths, key, why, facts, outcome      |
| receipt | `08`, number u64, hash 16 bytes         | expires u32 (s), status u16, fingerprint 16 bytes, body          |
| expiry  | `09`, expires u32 (s), number u64, hash | type id u32, name                                                |
| socket  | `0A`, number u64, socket u64            | see lmdb.sockets; under socket 0 the auto response               |
| job due | `0B`, pool u8, due u64 (us), number, id | type id u32, name                                                |
| job rest| `0C`, state u8, type id u32, number, id | type id u32, name                                                |

`number` is the instance's, `why` the last error. Jobs that are due have rows of their own, one pool after the other, so
that what one of them has to do is never looked for behind what another has.

An instance's data number is its number, until so many rows are cleared that they are left as garbage (see
lmdb.garbage); from then on it is a newer one. Its number is its own until it is erased and has too many receipts or
jobs to delete at once; then it is a newer one, too.

- An instance has a name row exactly as long as it has a data row, an alarm row, a job row, a receipt row or a socket
  row.
- Every data, job and receipt row belongs to one name row, or to a garbage row; no name row has the data number of a
  garbage row, or the number of one with receipts and jobs. Every socket row belongs to a name row.
- Live bytes are the lengths of the instance's keys (without prefix and number) and values; bytes apart those of its
  receipts, jobs and sockets: hash, id or number, and value.
- Each receipt row has one expiry row. `hash` is of its idempotency key, see wire.idempotency.
- A due row exists for an alarm or job that is armed, retrying or waiting, a rest row for one that is abandoned or
  parked.
- Marks of both: 1 an attempt has begun and its end is not recorded, 2 the last attempt ended with its worker; of a job
  also 4 nobody can know whether it took effect; of an alarm also 16 the trace context (25 bytes) of the turn that set
  it stands before `why`.
- Every number in the partition is below the next number, which only grows: no number is ever used twice.
- The epoch grows by one with every open, the group with every commit of an epoch's worker.

FORMAT is the version of all this. Format 1 was the same without receipts, jobs and sockets: a partition of it is taken
over as it is, by the meta row that each open writes. One of a later format is refused.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.jobs import DUE_STATES, ID_BYTES, KINDS, POOLS, STATES, Job
from holdfast_host.storage.store import Alarm, Receipt
from holdfast_host.wire.calls.trace_context import CONTEXT_BYTES

FORMAT: Final = 2
FORMATS: Final = (1, 2)  # those that are read

META_KEY: Final = b"\0"
DUE_FIRST: Final = b"\4"
GARBAGE_FIRST: Final = b"\6"
EXPIRY_FIRST: Final = b"\x09"
SOCKET_FIRST: Final = b"\x0a"

_META: Final = struct.Struct("<IIQQQ")
_NAME_KEY: Final = struct.Struct(">BI")
_NAME_ROW: Final = struct.Struct("<QQ")
_NAME_ROW_AND_DATA: Final = struct.Struct("<QQQ")
_NAME_ROW_AND_APART: Final = struct.Struct("<QQQQ")
_NUMBER_KEY: Final = struct.Struct(">BQ")
_ALARM_ROW: Final = struct.Struct("<QQIBB")
_DUE_KEY: Final = struct.Struct(">BQQ")
_REST_KEY: Final = struct.Struct(">BBIQ")
_INDEX_ROW: Final = struct.Struct(">I")
_EXPIRY_KEY: Final = struct.Struct(">BIQ")
_RECEIPT_ROW: Final = struct.Struct("<IH16s")
_JOB_ROW: Final = struct.Struct("<IBBBQQQIIHII")
_JOB_DUE_KEY: Final = struct.Struct(">BBQQ")
_JOB_REST_KEY: Final = struct.Struct(">BBIQ")

_NAME: Final = 1
_DATA: Final = 2
_ALARM: Final = 3
_DUE: Final = 4
_REST: Final = 5
_GARBAGE: Final = 6
_JOB: Final = 7
_RECEIPT: Final = 8
_EXPIRY: Final = 9
_SOCKET: Final = 10
_JOB_DUE: Final = 11
_JOB_REST: Final = 12

PREFIX_BYTES: Final = _NUMBER_KEY.size  # what a data row's key has before the instance's own key

ALARM_STATES: Final = ("armed", "retrying", "abandoned", "parked")
_DUE_STATES: Final = ("armed", "retrying")
_BEGUN: Final = 1
_KILLED: Final = 2
_UNKNOWN: Final = 4
_AGAIN: Final = 8
_TRACED: Final = 16


class NameRow(NamedTuple):
    """What a name row says of an instance; numbers are bytes where the name says so."""

    number: int
    live_bytes: int
    data_number: int
    apart_bytes: int


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
    if version not in FORMATS or len(row) != _META.size:
        raise ConfigurationError(
            f"{where} has storage format {version}, this release reads up to format {FORMAT}: "
            "open it with the release that wrote it"
        )
    _, *fields = _META.unpack(row)
    return Meta(*fields)


def name_key(type_id: int, name: bytes) -> bytes:
    """The key of an instance's name row."""
    return _NAME_KEY.pack(_NAME, type_id) + name


def unpack_name_key(key: bytes) -> tuple[int, bytes]:
    """Type id and name."""
    _, type_id = _NAME_KEY.unpack_from(key)
    return type_id, key[_NAME_KEY.size :]


def pack_name_row(number: int, live_bytes: int, data_number: int, apart_bytes: int) -> bytes:
    """The value of a name row."""
    if apart_bytes:
        return _NAME_ROW_AND_APART.pack(number, live_bytes, data_number, apart_bytes)
    if data_number == number:
        return _NAME_ROW.pack(number, live_bytes)
    return _NAME_ROW_AND_DATA.pack(number, live_bytes, data_number)


def unpack_name_row(row: bytes) -> NameRow:
    """What `pack_name_row` wrote."""
    if len(row) == _NAME_ROW.size:
        number, live_bytes = _NAME_ROW.unpack(row)
        return NameRow(number, live_bytes, number, 0)
    if len(row) == _NAME_ROW_AND_DATA.size:
        number, live_bytes, data_number = _NAME_ROW_AND_DATA.unpack(row)
        return NameRow(number, live_bytes, data_number, 0)
    return NameRow(*_NAME_ROW_AND_APART.unpack(row))


def data_prefix(data_number: int) -> bytes:
    """What the keys of all data rows under a number begin with; that of `data_number + 1` ends them."""
    return _NUMBER_KEY.pack(_DATA, data_number)


def garbage_key(number: int) -> bytes:
    """The key of the garbage row for the data rows and the receipts under a number."""
    return _NUMBER_KEY.pack(_GARBAGE, number)


def unpack_garbage_key(key: bytes) -> int:
    """The number of the rows that are garbage."""
    _, number = _NUMBER_KEY.unpack(key)
    return int(number)


def receipt_prefix(number: int) -> bytes:
    """What the keys of all receipts of an instance begin with; the hash follows."""
    return _NUMBER_KEY.pack(_RECEIPT, number)


def pack_receipt(receipt: Receipt) -> bytes:
    """The value of a receipt row."""
    return _RECEIPT_ROW.pack(receipt.expires_s, receipt.status, receipt.fingerprint) + receipt.body


def unpack_receipt(row: bytes) -> Receipt:
    """What `pack_receipt` wrote."""
    expires_s, status, fingerprint = _RECEIPT_ROW.unpack_from(row)
    return Receipt(expires_s, status, fingerprint, row[_RECEIPT_ROW.size :])


def expires_of(row: bytes) -> int:
    """When a receipt row expires, in seconds; also of a buffer."""
    (expires_s, _, _) = _RECEIPT_ROW.unpack_from(row)
    return int(expires_s)


def expiry_key(expires_s: int, number: int, key_hash: bytes) -> bytes:
    """The key of an expiry row."""
    return _EXPIRY_KEY.pack(_EXPIRY, expires_s, number) + key_hash


def unpack_expiry_key(key: bytes) -> tuple[int, int, bytes]:
    """When a receipt expires, in seconds; the number of its instance, and the hash of its key."""
    _, expires_s, number = _EXPIRY_KEY.unpack_from(key)
    return expires_s, number, bytes(key[_EXPIRY_KEY.size :])


def socket_prefix(number: int) -> bytes:
    """What the keys of all sockets of an instance begin with; the socket's number follows, 8 bytes, big-endian."""
    return _NUMBER_KEY.pack(_SOCKET, number)


def alarm_key(number: int) -> bytes:
    """The key of an instance's alarm row."""
    return _NUMBER_KEY.pack(_ALARM, number)


def pack_alarm(alarm: Alarm) -> bytes:
    """The value of an alarm row."""
    state = ALARM_STATES.index(alarm.state)
    marks = alarm.begun * _BEGUN + alarm.killed * _KILLED + (alarm.trace != b"") * _TRACED
    row = _ALARM_ROW.pack(alarm.due_us, alarm.scheduled_us, alarm.retry_count, state, marks)
    return row + alarm.trace + alarm.last_error.encode("utf-8", "replace")


def unpack_alarm(row: bytes) -> Alarm:
    """What `pack_alarm` wrote."""
    due_us, scheduled_us, retry_count, state, marks = _ALARM_ROW.unpack_from(row)
    at = _ALARM_ROW.size + (CONTEXT_BYTES if marks & _TRACED else 0)
    begun, killed = bool(marks & _BEGUN), bool(marks & _KILLED)
    trace = row[_ALARM_ROW.size : at]
    return Alarm(due_us, retry_count, scheduled_us, ALARM_STATES[state], row[at:].decode(), begun, killed, trace)


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
    return _REST_KEY.pack(_REST, ALARM_STATES.index(state), type_id or 0, 0)[: 2 if type_id is None else 6]


def index_prefix(state: str) -> bytes:
    """What the keys of all rows begin with that lead to the alarms in a state; others may be among them."""
    return DUE_FIRST if state in _DUE_STATES else rest_prefix(state)


def index_key(alarm: Alarm, type_id: int, number: int) -> bytes:
    """The key of the alarm's due or rest row."""
    if has_due_row(alarm):
        return due_key(alarm.due_us, number)
    return _REST_KEY.pack(_REST, ALARM_STATES.index(alarm.state), type_id, number)


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


def job_prefix(number: int) -> bytes:
    """What the keys of all jobs of an instance begin with; the id follows."""
    return _NUMBER_KEY.pack(_JOB, number)


def pack_job(type_id: int, job: Job) -> bytes:
    """The value of a job row."""
    marks = job.begun * _BEGUN + job.killed * _KILLED + job.unknown * _UNKNOWN + job.again * _AGAIN
    key, why = job.key.encode(), job.last_error.encode("utf-8", "replace")
    head = _JOB_ROW.pack(
        type_id, KINDS.index(job.kind), STATES.index(job.state), marks, job.due_us, job.scheduled_us,
        job.pieces if job.kind == "http" else job.tried_us, job.tries, job.retry_count, len(key), len(why),
        len(job.facts),
    )  # fmt: skip
    return b"".join((head, key, why, job.facts, job.outcome))


def unpack_job(row: bytes) -> Job:
    """What `pack_job` wrote."""
    (
        _, kind, state, marks, due_us, scheduled_us, tried_or_pieces, tries, retry_count, key_bytes, why_bytes,
        facts_bytes,
    ) = _JOB_ROW.unpack_from(row)  # fmt: skip
    why_at = _JOB_ROW.size + key_bytes
    facts_at = why_at + why_bytes
    outcome_at = facts_at + facts_bytes
    return Job(
        kind=KINDS[kind],
        due_us=due_us,
        scheduled_us=scheduled_us,
        state=STATES[state],
        key=row[_JOB_ROW.size : why_at].decode(),
        facts=row[facts_at:outcome_at],
        tries=tries,
        retry_count=retry_count,
        tried_us=0 if KINDS[kind] == "http" else tried_or_pieces,
        pieces=tried_or_pieces if KINDS[kind] == "http" else 0,
        again=bool(marks & _AGAIN),
        begun=bool(marks & _BEGUN),
        killed=bool(marks & _KILLED),
        unknown=bool(marks & _UNKNOWN),
        last_error=row[why_at:facts_at].decode(),
        outcome=row[outcome_at:],
    )


def job_index_key(row: bytes, number: int, id_: bytes) -> bytes:
    """The key of the due or rest row of a job, by its row; also of a buffer."""
    type_id, kind, at, _, due_us, *_ = _JOB_ROW.unpack_from(row)
    state = STATES[at]
    if state in DUE_STATES:
        return job_due_key("run" if state == "waiting" else KINDS[kind], due_us, number) + id_
    return _JOB_REST_KEY.pack(_JOB_REST, at, type_id, number) + id_


def job_due_key(pool: str, due_us: int, number: int) -> bytes:
    """What the key of a due row of a job has before the id."""
    return _JOB_DUE_KEY.pack(_JOB_DUE, POOLS.index(pool), due_us, number)


def unpack_job_due_key(key: bytes) -> tuple[int, int, bytes]:
    """Due time in microseconds, instance number, and the job's id."""
    _, _, due_us, number = _JOB_DUE_KEY.unpack_from(key)
    return due_us, number, key[_JOB_DUE_KEY.size :]


def job_index_prefix(state: str, type_id: int | None = None) -> bytes:
    """What the keys of all rows begin with that lead to the jobs in a state; others may be among the due ones."""
    if state in DUE_STATES:
        return bytes((_JOB_DUE,))
    return _JOB_REST_KEY.pack(_JOB_REST, STATES.index(state), type_id or 0, 0)[: 2 if type_id is None else 6]


def job_of_index_key(key: bytes) -> tuple[int, bytes]:
    """Instance number and job's id at the end of a due or rest row's key."""
    return int.from_bytes(key[-8 - ID_BYTES : -ID_BYTES], "big"), key[-ID_BYTES:]


def due_of_job(row: bytes) -> tuple[str, int] | None:
    """Pool and due time of a job row, where it waits for its time; also of a buffer."""
    _, kind, at, _, due_us, *_ = _JOB_ROW.unpack_from(row)
    if STATES[at] not in DUE_STATES:
        return None
    return "run" if STATES[at] == "waiting" else KINDS[kind], due_us
