"""The jobs of a worker, a pool each of runs, calls and requests; how they are delivered is `worker.deliveries`.

A *run* is delivered as an alarm is. A *call* or *http* goes another way first:

1. When its row was read it is sent (`jobs.away`) and leaves its instance alone: it is *away*. Of a call the time of its
   first try is written down before, durably: what the callee keeps of it, it keeps for so long from then.
2. Its answer brings it back into the mailbox, its row is read again, and the answer with it (`jobs.outcomes`).
3. It is tried again: a batch of the host's own says when. Or it is over: with its outcome the row stands as *waiting*,
   for this delivery, and `then` runs as any handler. Where that fails the row is written so, and taken up by the pool
   of runs from then on. Without `then` a success removes the row, and anything else abandons it.

An answer to a job that was cancelled or moved meanwhile means nothing any more.

Of an answer that streams to a topic the pieces come one by one, and each goes through 2: its turn publishes it, the row
says how many are published, and when that is durable the next one is asked for. The courier keeps a piece until then:
so a successor of this worker has it again, and nothing of it is published twice.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from holdfast_host.core.errors import ActorUnknownMethodError, BadRequestError
from holdfast_host.storage.store import Changes
from holdfast_host.storage.unflushed import read_job
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.worker.deliveries.deliveries import Deliveries
from holdfast_host.worker.deliveries.exits import AGAIN_S
from holdfast_host.worker.deliveries.stages import UNREAD, Delivery, Stage
from holdfast_host.worker.jobs.outcomes import FORGOTTEN, Answer, is_success, judge, was_not_sent
from holdfast_host.worker.jobs.timetable import JobTimetable
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.job_texts import may_repeat, read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Iterable, Mapping

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.storage.store import Batch, StoredInstance
    from holdfast_host.worker.commits.gate import Group
    from holdfast_host.worker.deliveries.stages import Row
    from holdfast_host.worker.jobs.away import Away, AwayJob
    from holdfast_host.worker.jobs.timetable import JobPage
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn import Turn

UNDER_WAY_MAX = {"run": 128, "call": 1_024, "http": 512}
FUNCTION_MAX = {"run": 64, "call": 512, "http": 50}  # of http: half of what the courier takes of one
INSTANCE_MAX = 16
READY_S = 0.002
READY_SHORT_MAX = 32
_LEARNING = 0.1  # how much one turn moves the average
_PARKED_PAGE = 64
_dumps = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps() makes one each time
_FORGOTTEN_BEFORE_S = 3_600  # the end of what is kept of a first try


@leaders
@dataclass(slots=True, eq=False)
class JobDelivery(Delivery):
    """One job on its way."""

    answer: Answer | None = None  # to the last try, not written down yet
    retried: Job | None = None  # what the row is to be, for the answer says: again
    following: Job | None = None  # of a cron, and of a piece: what the row is after this run
    missed: int = 0  # further times of a cron for which this run stands
    away: AwayJob | None = None  # its try, while it is away
    follows: bool = False  # the courier has an answer for it that streams
    published: bool = False  # a piece of that, by a turn whose commit is awaited

    @property
    @any_thread
    def has_piece(self) -> bool:
        """Whether what it was answered is a piece, which is to be published."""
        return self.answer is not None and self.answer.is_piece


@leaders
@dataclass(eq=False, kw_only=True)
class Jobs(Deliveries):
    """The jobs of one pool of one worker."""

    pool: str
    away: Away

    WHAT: ClassVar[str] = "job"
    CALL_KIND: ClassVar[CallKind] = CallKind.JOB

    def __post_init__(self) -> None:
        """Nothing is known to be due yet."""
        super().__post_init__()
        self.under_way_max = UNDER_WAY_MAX[self.pool]
        self._timetable = JobTimetable(self.pool, self._function_of, FUNCTION_MAX[self.pool], INSTANCE_MAX)
        self._turn_s = READY_S  # of a processor, on average of the last ones
        self._answered: deque[JobDelivery] = deque()

    def release(self, generation: int, now_us: int) -> bool:
        """Put what was answered, then what is due into the mailboxes. False: the leadership is lost."""
        while self._answered and self._ready < self._ready_max():
            self.post(self._answered.popleft())
        return super().release(generation, now_us)

    def begin(self, turn: Turn, loaded: LoadedType | None) -> bool:
        """Whether a handler is to run now; if not, everything has been seen to."""
        entry, delivery = turn.entry, _own(turn.delivery)
        row: Any = delivery.row
        if (
            delivery.answer is None
            or delivery.has_piece
            or delivery.noted
            or delivery.failure is not None
            or not self._stands(delivery)
        ):
            return super().begin(turn, loaded)
        if delivery.retried is not None:
            self._leave_ready(delivery)
            self.failed += 1
            self._write(entry, delivery, delivery.retried)
        elif "then" not in read_facts(row).head:
            self._leave_ready(delivery)
            if is_success(row):
                self.delivered += 1
                self._write(entry, delivery, None)
            else:
                row = replace(row, state="abandoned", outcome=b"")
                self._note_abandoned(entry, delivery, row)
                self._write(entry, delivery, row)
        elif self.mailboxes.draining or row.due_us > self.clock.wall_us():
            self._leave_ready(delivery)
            self._write(entry, delivery, row)  # `then` is for the next start, or the clock was set back
        else:
            return super().begin(turn, loaded)
        return False

    def answered(self, delivery: JobDelivery, answer: Answer) -> None:
        """Its try has come to an end."""
        if was_not_sent(answer):
            self.put_aside(delivery, AGAIN_S)
            return
        delivery.answer = answer.cut(self.limits)
        self._answered.append(delivery)
        self.wake()

    def finish(self, delivery: Delivery) -> None:
        """Nothing is left to do for this delivery; or a piece is durable, and the next one is awaited."""
        own = _own(delivery)
        if not (own.published and own.failure is None and self._go_on(own)):
            super().finish(own)

    def settle(self, group: Group, lost: Mapping[Entry, HoldfastError]) -> None:
        """The group is durable: learn what it changed, and end what it cancelled of what streams."""
        super().settle(group, lost)
        if self.pool != "http" or not self._under_way:
            return
        lost_stored = {entry.stored for entry in lost if not entry.is_function}
        for batch in group.batches:
            if batch.instance in lost_stored:
                continue
            jobs = batch.changes.jobs or {}
            gone: list[Hashable] = [(batch.instance, id_) for id_, job in jobs.items() if job is None]
            if batch.changes.erased:
                gone += [each.key for each in self._under_way.values() if each.stored == batch.instance]
            for key in gone:
                if key in self._under_way:
                    self._stop(_own(self._under_way[key]))

    def look_again(self, delivery: Delivery) -> None:
        """As for all; what is on its way again, for the next piece, reads its row anyway."""
        if delivery.stage is not Stage.AWAY:
            super().look_again(delivery)

    def end(self, turn: Turn) -> None:
        """As of any delivery; how long such turns take is learned."""
        self._turn_s += (turn.computed_s - self._turn_s) * _LEARNING
        super().end(turn)

    def hold(self, delivery: Delivery, overlay: Overlay) -> None:
        """The turn that begins with this overlay handles it."""
        overlay.take_job(delivery.id, _own(delivery).following)

    # How it is delivered.

    def _ready_max(self) -> int:
        """As many as take READY_S together: those that are let in at once share a commit, and a call waits for them."""
        at_once = READY_SHORT_MAX if self._turn_s * READY_SHORT_MAX < READY_S else int(READY_S / self._turn_s)
        return max(super()._ready_max(), at_once)

    def _may_run(self, turn: Turn, delivery: Delivery, row: Any, loaded: LoadedType) -> bool:
        entry, own = turn.entry, _own(delivery)
        if self.pool == "run" or row.state == "waiting" or own.has_piece:
            return super()._may_run(turn, delivery, row, loaded)
        if not own.noted:
            now_us = self.clock.wall_us()
            if self.mailboxes.draining or row.due_us > now_us:
                self._leave_as_it_is(entry, delivery)
                return False
            if row.kind == "call" and row.tried_us and now_us - row.tried_us > self._known_us():
                own.answer, own.row_group = FORGOTTEN, UNREAD
                entry.mail.appendleft(self._turn(entry, own))
                return False
            if row.kind == "call" and not 0 < row.tried_us <= now_us:
                self._write_down(turn, delivery, replace(row, tried_us=now_us))
                return False
        own.noted = False
        own.enter(Stage.AWAY)
        self.away.send(self, own, row, loaded)
        return False

    def _stands(self, delivery: JobDelivery) -> bool:
        row: Any = delivery.row
        return row is not None and row.due_us == delivery.due_us and self._waits(row)

    def _known_us(self) -> int:
        """For how long after its first try a call may be tried again."""
        return (self.limits.receipt_s - _FORGOTTEN_BEFORE_S) * 1_000_000

    def _prepare(self, turn: Turn, delivery: Delivery, row: Any) -> None:
        own, facts = _own(delivery), read_facts(row)
        info: dict[str, Any] = {"id": own.id.hex(), "kind": "run", "method": facts.head.get("method")}
        member = b'"arguments":' + facts.payload
        if row.state == "waiting":
            info |= {"kind": "then", "method": facts.head.get("then")}
            member = b'"outcome":' + row.outcome
        elif own.answer is not None:
            own.published = True
            info |= {"kind": "piece", "method": "publish", "topic": facts.head.get("stream_to"), "again": row.again}
            info["tries"] = row.tries
            member = b'"piece":' + own.answer.body
        else:
            info["missed"] = own.missed
            if "cron" in facts.head:
                info["cron"] = facts.head["cron"]
        info |= {"scheduled_us": row.scheduled_us, "retry_count": row.retry_count}
        turn.request.method = str(info["method"]).encode()
        turn.request.body = _dumps(info).encode()[:-1] + b"," + member + b"}"

    def _refusal(self, loaded: LoadedType) -> HoldfastError | None:
        if loaded.runs_jobs:
            return None
        return ActorUnknownMethodError(
            f"{loaded.type} runs no jobs in version {loaded.version} of {loaded.function!r}: its component exports no "
            "`job`"
        )

    def _waits(self, row: Any) -> bool:
        return bool(row.is_due_sometime)

    def _comes_due(self, row: Any) -> bool:
        return bool(row.is_due_sometime) and row.pool == self.pool

    def _takes_up(self, row: Row) -> bool:
        return row.state == "parked" and self.pool == "run"  # for all pools

    def _retrying_state(self, row: Any) -> str:
        return "waiting" if row.outcome else "retrying"

    def _unparked_state(self, row: Any) -> str:
        if row.outcome:
            return "waiting"
        return "retrying" if row.retry_count or row.tries else "armed"

    # Its rows.

    def _read(self, entry: Entry, delivery: Delivery) -> Job | None:
        own = _own(delivery)
        job = read_job(self.store, entry.stored, entry.pending, own.id)
        own.retried = own.following = None
        if job is None or job.due_us != own.due_us or not job.is_due_sometime:
            return job
        now_us = self.clock.wall_us()
        if own.has_piece:
            own.following = replace(
                job, state="armed", due_us=now_us, pieces=job.pieces + 1, again=False, retry_count=0, begun=False,
                killed=False, last_error="",
            )  # fmt: skip
        elif own.answer is not None and job.state != "waiting":
            judged = judge(job, own.answer, now_us, self.limits)
            if judged.state == "waiting":
                return judged
            own.retried = judged
        elif job.kind == "run":
            self._read_cron(own, job, now_us)
        return job

    def _go_on(self, delivery: JobDelivery) -> bool:
        """Ask for the next piece; False where that is for later, because the worker stops or the type is gone."""
        loaded, row = self.deployments.find(delivery.stored.type_id), delivery.following
        if self.mailboxes.draining or loaded is None or row is None:
            return False
        self._leave_line(delivery)  # its turn has killed nobody, and the answer may go on for an hour
        self.delivered -= 1  # one job, however many pieces
        delivery.due_us, delivery.answer = row.due_us, None
        delivery.noted = delivery.published = False
        delivery.enter(Stage.AWAY)
        self.away.send(self, delivery, row, loaded)
        return True

    def _stop(self, delivery: JobDelivery) -> None:
        if delivery.follows and delivery.stage is Stage.AWAY and delivery.away is not None:
            self.away.stop(delivery.away)

    def _read_cron(self, delivery: JobDelivery, job: Job, now_us: int) -> None:
        """When it is due next, and what it has slept through."""
        if not may_repeat(job):
            return
        from holdfast_host.core.cron import missed_between, next_after  # its zones are read with it

        head = read_facts(job).head
        if "cron" not in head:
            return
        cron, zone = head["cron"], head.get("tz", "UTC")
        try:
            delivery.missed = missed_between(cron, zone, job.scheduled_us, now_us) if job.scheduled_us < now_us else 0
            due_us = next_after(cron, zone, max(job.scheduled_us, now_us))
        except ValueError as error:  # its zone is not known any more
            delivery.failure = BadRequestError(str(error))
            return
        delivery.following = replace(
            job, state="armed", due_us=due_us, scheduled_us=due_us, retry_count=0, begun=False, killed=False,
            last_error="",
        )  # fmt: skip

    def _changes(self, delivery: Delivery, row: Any) -> Changes:
        return Changes(jobs={delivery.id: row}, size_bytes=0 if row is None else row.size_bytes)

    def _changed(self, batch: Batch) -> Iterable[tuple[Delivery, Job | None]]:
        for id_, job in (batch.changes.jobs or {}).items():
            yield JobDelivery(self, batch.instance, 0, id_), job

    def _is_said(self, changes: Changes, delivery: Delivery) -> bool:
        return changes.jobs is not None and delivery.id in changes.jobs

    # The timetable.

    def _take(self, now_us: int) -> Delivery | None:
        found = self._timetable.take(now_us)
        return None if found is None else JobDelivery(self, found.stored, found.due_us, found.id)

    def _lacks(self, now_us: int) -> bool:
        return self._timetable.lacks(now_us)

    def _next_due_us(self) -> int:
        return self._timetable.next_us()

    def _put(self, delivery: Delivery, due_us: int | None) -> None:
        self._timetable.put(delivery.stored, delivery.id, due_us)

    def forget(self, is_gone: Callable[[StoredInstance], bool]) -> None:
        """These instances are another owner's."""
        self._timetable.forget(is_gone)

    def _read_anew(self) -> None:
        self._timetable.read_anew()

    def _open_page(self, now_us: int) -> JobPage:
        return self._timetable.open_page(now_us)

    def _fill_page(self, page: JobPage) -> None:
        self._timetable.fill(page, self._under_way)

    def _look_for(self, stored: StoredInstance) -> None:
        self._timetable.look_for(stored)
        self.wake()

    def _parked(self, type_id: int, but: Container[bytes]) -> list[Delivery]:
        found = self.store.jobs.parked(type_id, _PARKED_PAGE, but)
        return [JobDelivery(self, stored, 0, id_, unpark=True) for stored, id_ in found]

    def _forget(self, delivery: Delivery) -> None:
        own = _own(delivery)
        stands = own.row is not None and own.row.due_us == own.due_us
        keeps = own.has_piece and stands  # which is published when its turn is tried again
        if own.follows and not keeps and not self.mailboxes.draining:
            self.away.forget(own.id)
        self._timetable.leave(delivery.stored, delivery.id)
        self.wake()

    def _named(self, delivery: Delivery) -> dict[str, Any]:
        return {"job": delivery.id.hex()}

    def _function_of(self, type_id: int) -> str:
        loaded = self.deployments.find(type_id)
        return loaded.function if loaded is not None else f"#{type_id}"


def _own(delivery: Delivery | None) -> JobDelivery:
    assert isinstance(delivery, JobDelivery)  # noqa: S101 # what a turn of a job carries
    return delivery
