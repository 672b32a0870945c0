"""Running a job that is due: its method, or what it calls or asks, and then its `then`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

from holdfast._http import Request, Response
from holdfast.testing._clock import ManualClock
from holdfast.testing._failures import RefusedError
from holdfast.testing._function import run_scheduled
from holdfast.testing._jobs.cron import missed_between, next_after
from holdfast.testing._jobs.followed import FollowedAnswer
from holdfast.testing._jobs.outcomes import ERROR_CHARS_MAX, Tried, answered, failed, judged, returned
from holdfast.testing._jobs.rows import StoredJob, dumps
from holdfast.testing._outbound import AnswerReader, Outbound
from holdfast.testing._records import Record
from holdfast.testing._runner import Runner
from holdfast.testing._turn import Turn

_SECOND_US: Final = 1_000_000
_READ_BYTES: Final = 64 << 10
_SCOPE: Final = "job "  # keys of jobs are no caller's
_BROKE_OFF: Final = "the answer broke off: nobody holds the rest of it any more"


class JobDeliveries:
    """Runs jobs of one host."""

    def __init__(self, runner: Runner, outbound: Outbound, clock: ManualClock) -> None:
        self._runner = runner
        self._outbound = outbound
        self._clock = clock
        self._answers: dict[str, FollowedAnswer] = {}  # whose next piece could not be published yet

    def deliver(self, record: Record, job: StoredJob) -> None:
        """Try it once. `record` is the instance's; that of the function has no type."""
        row = job
        if job.kind in {"call", "http"} and job.state != "waiting":
            if "stream_to" in job.wanted:
                followed = self._follow(record, job)
                if followed is None:
                    return
                tried = followed
                row = job = record.jobs[job.id]
            else:
                tried = self._call(record, job) if job.kind == "call" else self._ask(record, job)
                if record.jobs.get(job.id) is not row:
                    return  # it was cancelled meanwhile
            job = judged(job, tried, self._clock.now_us, self._runner.limits)
            if job.state == "retrying":
                record.jobs[job.id] = job
                return
            if "then" not in job.wanted:
                if tried.ok:
                    del record.jobs[job.id]
                else:
                    record.jobs[job.id] = replace(job, state="abandoned", outcome=None)
                return
        self._run(record, row, job)

    def _call(self, record: Record, job: StoredJob) -> Tried:
        """Call another instance, under the job's id."""
        wanted, runner = job.wanted, self._runner
        try:
            callee = runner.target(record.label, wanted["binding"], wanted["name"])
            arguments = dumps(wanted["arguments"])
            return returned(runner.call(callee, wanted["method"], arguments, key=job.id, scope=_SCOPE)[0])
        except RefusedError as failure:
            return failed(failure)

    def _ask(self, record: Record, job: StoredJob) -> Tried:
        """Send a request, under the job's id."""
        response = self._respond(record, job)
        if isinstance(response, Tried):
            return response
        return self._read_whole(response)

    def _read_whole(self, response: Response) -> Tried:
        """What the answer says, all of it."""
        read = partial(AnswerReader(response).read, _READ_BYTES)
        try:
            whole = Response(b"".join(iter(read, b"")), response.status, response.headers)
        except RefusedError as failure:  # it broke off
            return failed(failure)
        return answered(whole, self._clock.now_us, self._runner.limits)

    def _follow(self, record: Record, job: StoredJob) -> Tried | None:
        """Publish an answer while it comes, each piece in a turn; None where that is over, or goes on later."""
        runner = self._runner
        answer = self._answers.pop(job.id, None)
        if answer is None or answer.crashes != runner.host_crashes:
            if job.pieces:
                return failed(RefusedError("OutboundUnreachableError", _BROKE_OFF))
            crashes = runner.host_crashes
            response = self._respond(record, job)
            if record.jobs.get(job.id) is not job:
                return None  # it was cancelled meanwhile
            if isinstance(response, Tried):
                return response
            if not 200 <= response.status < 300:
                tried = self._read_whole(response)
                return tried if record.jobs.get(job.id) is job else None
            answer = FollowedAnswer(response, runner.limits, crashes)
        try:
            return self._publish(record, job, answer)
        except RefusedError as failure:  # it broke off
            return failed(failure) if job.id in record.jobs else None

    def _publish(self, record: Record, row: StoredJob, answer: FollowedAnswer) -> Tried | None:
        runner = self._runner
        while True:
            if not answer.piece and not answer.ended:
                answer.read()
            job = record.jobs.get(row.id)
            if job is None:  # it was cancelled
                answer.close()
                return None
            if answer.crashes != runner.host_crashes:
                return None  # the host died: what is due is tried again
            if not answer.piece:
                if answer.ended:
                    return answered(answer.whole(), self._clock.now_us, runner.limits)
                continue
            following = replace(job, pieces=job.pieces + 1, again=False, retry_count=0, state="armed", last_error="")
            facts = {"id": job.id, "kind": "piece", "topic": job.wanted["stream_to"], "method": "publish"}
            facts |= {"again": job.again, "tries": job.tries, "piece": {"form": answer.form, "text": answer.piece}}
            facts |= {"scheduled_us": job.scheduled_us, "retry_count": job.retry_count}
            if not self._turn(record, job, job, following, facts):
                self._answers[job.id] = answer
                return None
            answer.piece = ""

    def _respond(self, record: Record, job: StoredJob) -> Response | Tried:
        request = Request.from_wire(dumps(job.wanted["request"]))
        if "idempotency-key" not in request.headers:
            request.headers.add("Idempotency-Key", job.id)
        try:
            response = self._outbound._send(record.label, request, follows=False)  # noqa: SLF001  (no method for tests)
        except RefusedError as failure:
            self._outbound._raise_unanswered()  # noqa: SLF001
            return failed(failure)
        return response

    def _run(self, record: Record, row: StoredJob, job: StoredJob) -> None:
        """Run its method, or its `then`; a failure moves it. `row` is what stands for it."""
        following = self._following(job)
        facts: dict[str, Any] = {"id": job.id, "scheduled_us": job.scheduled_us, "retry_count": job.retry_count}
        if following is not None:
            cron, zone = job.wanted["cron"], job.wanted.get("tz", "UTC")
            facts |= {"cron": cron, "missed": missed_between(cron, zone, job.scheduled_us, self._clock.now_us)}
        self._turn(record, row, job, following, {**facts, **_told(job)})

    def _turn(
        self, record: Record, row: StoredJob, job: StoredJob, following: StoredJob | None, facts: dict[str, Any]
    ) -> bool:
        """Run a turn for it, which leaves it as `following`; whether that committed. A failure moves it."""
        runner = self._runner
        crashes = runner.crashes
        try:
            if job.kind == "scheduled":
                run_scheduled(runner, dumps(facts))
                if following is not None:
                    record.jobs[job.id] = following
            else:
                runner.run(
                    Turn(
                        runner,
                        record,
                        record.label,
                        budget_s=runner.limits.alarm_timeout_s,
                        runs=(job.id, following),
                    ),
                    lambda guest: guest.job(dumps(facts)),
                )
        except RefusedError as failure:
            if record.jobs.get(job.id) is not row:
                return False  # it has replaced or cancelled itself, and synced; or it had committed when the host died
            if runner.crashes == crashes:
                record.jobs[job.id] = self._moved(job, failure)
            elif job.retry_count > 0 or row.survived_a_crash:
                died = RefusedError("HostUnavailableError", "the worker died while the handler ran")
                record.jobs[job.id] = self._moved(job, died)
            else:
                record.jobs[job.id] = replace(row, survived_a_crash=True)
            return False
        return True

    def _following(self, job: StoredJob) -> StoredJob | None:
        """What a cron is after this run; None for what is over then."""
        if "cron" not in job.wanted:
            return None
        after_us = max(job.scheduled_us, self._clock.now_us)
        due_us = next_after(job.wanted["cron"], job.wanted.get("tz", "UTC"), after_us)
        return StoredJob(job.id, job.wanted, due_us, due_us)

    def _moved(self, job: StoredJob, failure: RefusedError) -> StoredJob:
        """The job after a failed run: 1, 2, 4, ... seconds later, or abandoned."""
        text = f"{failure.name}: {failure.message}"[:ERROR_CHARS_MAX]
        if job.retry_count >= self._runner.limits.alarm_retries_max:
            return replace(job, state="abandoned", last_error=text)
        due_us = self._clock.now_us + (_SECOND_US << job.retry_count)
        state = "retrying" if job.outcome is None else "waiting"
        return replace(job, due_us=due_us, retry_count=job.retry_count + 1, state=state, last_error=text)


def _told(job: StoredJob) -> dict[str, Any]:
    """What the `job` export is told besides."""
    if job.kind == "scheduled":
        return {}
    if job.state == "waiting":
        return {"kind": "then", "method": job.wanted["then"], "outcome": job.outcome}
    return {"kind": "run", "method": job.wanted["method"], "arguments": job.wanted["arguments"]}
