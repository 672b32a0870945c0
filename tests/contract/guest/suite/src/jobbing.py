"""Actors that leave work to the host as jobs."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from holdfast import ActorError, JobInfo, LimitError, Outcome, ScheduledEvent, StatefulActor


class Leaving(StatefulActor):
    """Makes jobs, and keeps what their runs and outcomes were told."""

    def later(self, after_s: float, method: str, args: list[Any], key: str | None = None) -> str:
        return self.ctx.schedule(timedelta(seconds=after_s), method, *args, key=key)

    def again(self, cron: str, tz: str | None = None, key: str | None = "cron") -> str:
        return self.ctx.schedule(cron, "_tick", key=key, tz=tz)

    def then_fail(self, after_s: float) -> None:
        self.later(after_s, "_note", ["lost"])
        raise ValueError("after the job")

    def undone(self) -> None:
        with suppress(ValueError), self.ctx.storage.transaction():
            self.later(0, "_note", ["undone"])
            raise ValueError("undo it")
        self.later(0, "_note", ["kept"])

    def ask(self, method: str, url: str, options: dict[str, Any]) -> str:
        return self.ctx.outbox.http(method, url, **options)

    def tell(self, name: str, method: str, args: list[Any], then: str | None = "_heard") -> str:
        return self.ctx.outbox.call(self.env.CALLEE.id_from_name(name), method, *args, then=then)

    def refused(self, what: str, arguments: list[Any], options: dict[str, Any]) -> list[str]:
        """What is said of a job that cannot be made."""
        act: dict[str, Any] = {
            "schedule": self.ctx.schedule,
            "http": self.ctx.outbox.http,
            "cancel": self.ctx.cancel,
        }
        try:
            act[what](*arguments, **options)
        except (ValueError, TypeError, AttributeError, LimitError) as error:
            return [type(error).__name__, str(error)]
        return []

    def many(self, count: int) -> None:
        for _ in range(count):
            self.ctx.schedule(timedelta(days=1), "_note", "x")

    def cancel(self, key: str) -> bool:
        return self.ctx.cancel(key=key)

    def cancel_all(self) -> int:
        return sum(self.ctx.cancel(job.id) for job in self.ctx.jobs())

    def cancelled_after(self, after_s: float) -> list[bool]:
        made = self.later(after_s, "_note", ["cancelled"])
        return [self.ctx.cancel(made), self.ctx.cancel(made)]

    def jobs(self) -> list[dict[str, Any]]:
        found = []
        for job in self.ctx.jobs():
            facts = {name: getattr(job, name) for name in ("kind", "state", "key", "method", "then", "tries", "cron")}
            found.append({name: value for name, value in facts.items() if value not in (None, 0)})
        return sorted(found, key=repr)

    def waits_s(self) -> float:
        """In how many seconds its one job is due."""
        [job] = self.ctx.jobs()
        assert job.due is not None
        return (job.due - datetime.now(UTC)).total_seconds()

    def seen(self) -> list[Any]:
        found: list[Any] = self.ctx.storage.get("seen", [])
        return found

    def fail_next(self, count: int) -> None:
        self.ctx.storage.put("failures", count)

    def published(self, topic: str) -> list[Any]:
        """The events that a topic holds: what each is called, and the beginning of its data."""
        found = self.ctx.storage.list(prefix=f"~topic/{topic}/", limit=1000).values()
        return [[event, data[:200]] for event, data in found]

    def told(self, what: Any) -> None:
        self._keep(what)

    def _keep(self, what: Any) -> None:
        self.ctx.storage.put("seen", [*self.seen(), what])

    def _note(self, what: Any) -> None:
        self._keep(what)

    def _told(self, what: str, info: JobInfo) -> None:
        self._keep([what, info.retry_count, info.missed, len(info.id)])

    def _tick(self, info: JobInfo) -> None:
        self._keep([info.cron, info.scheduled_time.second, info.scheduled_time.microsecond, info.missed])

    def _replace(self) -> None:
        self._keep("first")
        self.later(0, "_note", ["second"], "mine")

    def _sync_then_fail(self) -> None:
        self._keep("synced")
        self.ctx.storage.sync()
        raise ValueError("after the sync")

    def _fail(self, what: str, info: JobInfo) -> None:
        left = self.ctx.storage.get("failures", 0)
        if info.retry_count < left:
            raise ValueError(f"{what} fails")
        self._keep([what, info.retry_count])

    def _always(self) -> None:
        raise ValueError("always")

    def _heard(self, outcome: Outcome) -> None:
        error = outcome.error and [getattr(outcome.error, "name", type(outcome.error).__name__), outcome.error.message]
        status = outcome.response and outcome.response.status
        body = outcome.response and outcome.response.text()
        self._keep([outcome.ok, outcome.unknown, outcome.result, error, status, body, outcome.tries])

    def _heard_at_last(self, outcome: Outcome, info: JobInfo) -> None:
        if info.retry_count < self.ctx.storage.get("failures", 0):
            raise ValueError("not heard yet")
        self._keep([outcome.ok, outcome.result, info.retry_count])


class Daily(StatefulActor):
    """Has a job of its constructor that comes again and again."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.job = self.ctx.schedule("* * * * *", "_count", key="daily")

    def id_of_job(self) -> str:
        return self.job

    def counted(self) -> int:
        found: int = self.ctx.storage.get("counted", 0)
        return found

    def _count(self) -> None:
        self.ctx.storage.put("counted", self.counted() + 1)


class Callee(StatefulActor):
    """Is called by jobs."""

    def add(self, amount: int) -> dict[str, Any]:
        total = self.ctx.storage.get("total", 0) + amount
        self.ctx.storage.put("total", total)
        return {"total": total, "key": len(self.ctx.idempotency_key or "")}

    def total(self) -> int:
        found: int = self.ctx.storage.get("total", 0)
        return found

    def refuse(self) -> None:
        raise ActorError("not here", code="no", status=409)

    def fail_first(self, count: int) -> int:
        """Fails that often, and tells how often it was tried."""
        raise ValueError(f"{count} to go")


def scheduled(event: ScheduledEvent, env: Any) -> None:
    """The function's own minute: tells it to an instance that a test looks at."""
    told = [event.cron, event.scheduled_time.second, event.missed >= 0, env.GREETING]
    env.LEAVING.id_from_name("of the function").told(told)
