"""What the test kit does of jobs that a real host does as well, where time has to pass; and what only a test wants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import ActorError, Env, JobInfo, LimitError, Outcome, Request, Response, ScheduledEvent, StatefulActor
from holdfast.http import OutboundTimeoutError
from holdfast.testing import Limits, LocalHost, UnansweredRequestError
from holdfast.testing._failures import RefusedError
from holdfast.testing._jobs.outcomes import failed, judged
from holdfast.testing._jobs.rows import StoredJob

URL = "https://api.example.com/x"


class Shop(StatefulActor):
    def __init__(self, ctx: Any, env: Env) -> None:
        super().__init__(ctx, env)
        self.ctx.schedule("0 9 * * *", "_report", key="report", tz="Europe/Berlin")

    def order(self, then: str | None = "_told") -> str:
        return self.ctx.outbox.http("POST", URL, json={"n": 1}, then=then)

    def pay(self, name: str, then: str | None = "_told") -> str:
        return self.ctx.outbox.call(self.env.BANK.id_from_name(name), "take", 5, then=then)

    def seen(self) -> list[Any]:
        found: list[Any] = self.ctx.storage.get("seen", [])
        return found

    def _told(self, outcome: Outcome) -> None:
        status = outcome.response and outcome.response.status
        error = outcome.error and type(outcome.error).__name__
        self._keep([outcome.ok, outcome.unknown, status, error, outcome.tries])

    def _report(self, info: JobInfo) -> None:
        self._keep([info.scheduled_time.isoformat(), info.missed])

    def _keep(self, what: Any) -> None:
        self.ctx.storage.put("seen", [*self.seen(), what])


class Bank(StatefulActor):
    def take(self, amount: int) -> int:
        if self.ctx.storage.get("closed", False):
            raise ActorError("closed", code="closed", status=409)
        total: int = self.ctx.storage.get("total", 0) + amount
        self.ctx.storage.put("total", total)
        return total


@pytest.fixture
def host() -> LocalHost:
    return LocalHost({"SHOP": Shop, "BANK": Bank})


def shop_of(host: LocalHost) -> Any:
    return host.env.SHOP.id_from_name("main")


def test_a_request_is_tried_twelve_times_in_seven_hours_and_then_heard_of(host: LocalHost) -> None:
    host.outbound.answer(URL, Response("busy", status=503))
    shop_of(host).order()
    host.clock.advance(timedelta(hours=8))

    assert shop_of(host).seen()[0] == [False, False, 503, None, 12]
    assert len(host.outbound.requests) == 12
    assert len({each.headers["idempotency-key"] for each in host.outbound.requests}) == 1


def test_a_request_without_an_answer_may_have_taken_effect(host: LocalHost) -> None:
    host.outbound.answer(URL, OutboundTimeoutError("no answer in time"))
    shop_of(host).order()
    host.clock.advance(timedelta(hours=8))

    assert shop_of(host).seen()[0] == [False, True, None, "OutboundTimeoutError", 12]


def test_an_answer_that_is_too_long_to_be_kept_is_no_success(host: LocalHost) -> None:
    host.outbound.answer(URL, Response("x" * (1 << 20) + "x"))
    shop_of(host).order()
    host.clock.advance()

    assert shop_of(host).seen() == [[False, False, 200, "ActorCallError", 1]]


def test_a_request_that_nothing_answers_fails_the_test(host: LocalHost) -> None:
    shop_of(host).order()

    with pytest.raises(UnansweredRequestError, match=r"POST https://api.example.com/x, of Shop/main"):
        host.clock.advance()


def test_an_answer_may_be_made_of_the_request(host: LocalHost) -> None:
    def answer(request: Request) -> Response:
        return Response.json({"is": request.json()["n"]})

    host.outbound.answer(URL, answer)
    shop_of(host).order()
    host.clock.advance()

    assert shop_of(host).seen() == [[True, False, 200, None, 1]]


def test_a_test_sees_jobs_by_their_state_and_starts_an_abandoned_one_again(host: LocalHost) -> None:
    host.instance(Bank, "b").storage["closed"] = True
    id_ = shop_of(host).pay("b", None)
    host.clock.advance()

    [job] = host.jobs(state="abandoned")
    assert (job.instance, job.id, job.kind, job.binding, job.name) == ("Shop/main", id_, "call", "BANK", "b")
    assert (job.tries, job.last_error) == (1, "ActorError: closed")
    assert [each.cron for each in host.instance(Shop, "main").jobs] == [None, "0 9 * * *"]
    host.instance(Bank, "b").storage["closed"] = False
    host.instance(Shop, "main").retry_job(id_)
    host.clock.advance()
    assert host.jobs("abandoned") == []
    assert host.instance(Bank, "b").storage["total"] == 5


def test_what_may_have_taken_effect_is_started_again_only_where_that_is_wanted(host: LocalHost) -> None:
    host.outbound.answer(URL, OutboundTimeoutError("no answer in time"))
    id_ = shop_of(host).order(None)
    host.clock.advance(timedelta(hours=8))

    [job] = host.jobs(state="abandoned")
    assert job.unknown
    with pytest.raises(ValueError, match="may do it twice"):
        host.instance(Shop, "main").retry_job(id_)
    host.outbound.answer(URL, Response("done"))
    host.instance(Shop, "main").retry_job(id_, again=True)
    host.clock.advance()
    assert host.jobs("abandoned") == []
    with pytest.raises(KeyError):
        host.instance(Shop, "main").retry_job(id_)


def test_a_cron_that_slept_through_several_times_runs_once_and_says_how_many(host: LocalHost) -> None:
    shop_of(host).seen()
    host.crash(down=timedelta(days=3))
    host.clock.advance()

    assert shop_of(host).seen() == [["2026-11-01T08:00:00+00:00", 2]]
    host.clock.advance(timedelta(days=1))
    assert shop_of(host).seen()[1:] == [["2026-11-04T08:00:00+00:00", 0]]


def ran_after_a_day_whose_first_turn_said_it_again(host: LocalHost) -> list[Any]:
    """It is activated after its time has passed, and before it runs."""
    shop_of(host).seen()
    host.crash(down=timedelta(days=1))
    assert shop_of(host).seen() == []
    host.clock.advance()
    found: list[Any] = shop_of(host).seen()
    return found


def test_a_cron_that_a_constructor_says_again_still_runs(host: LocalHost) -> None:
    assert ran_after_a_day_whose_first_turn_said_it_again(host) == [["2026-11-01T08:00:00+00:00", 0]]


def test_if_the_same_again_replaced_it_the_cron_of_a_constructor_would_not_run(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoredJob, "says_the_same", lambda self, wanted: False)

    assert ran_after_a_day_whose_first_turn_said_it_again(host) == []


def test_a_cron_that_is_run_by_hand_runs_at_its_next_time_too(host: LocalHost) -> None:
    shop_of(host).seen()
    [job] = host.jobs()
    host.instance(Shop, "main").retry_job(job.id)
    host.clock.advance()
    assert shop_of(host).seen() == [["2026-11-01T00:00:00+00:00", 0]]
    host.clock.advance(timedelta(hours=8))

    assert shop_of(host).seen()[1:] == [["2026-11-01T08:00:00+00:00", 0]]


class Failing(StatefulActor):
    def __init__(self, ctx: Any, env: Env) -> None:
        super().__init__(ctx, env)
        self.ctx.schedule("0 9 * * *", "_fail", key="fails")

    def touch(self) -> None: ...

    def _fail(self) -> None:
        raise ValueError("always")


def test_a_cron_that_fails_for_good_is_kept_and_starts_anew_when_it_is_said_again() -> None:
    host = LocalHost({"FAILING": Failing})
    host.env.FAILING.id_from_name("a").touch()
    host.clock.advance(timedelta(hours=10))

    [first] = host.jobs("abandoned")
    assert first.last_error == "ActorMethodError: ValueError: always"
    host.clock.advance(timedelta(days=2))
    assert [job.id for job in host.jobs()] == [first.id]
    host.instance(Failing, "a").evict()
    host.env.FAILING.id_from_name("a").touch()
    [again] = host.jobs()
    assert (again.state, again.due) == ("armed", datetime(2026, 11, 4, 9, tzinfo=UTC))


def test_a_cron_of_a_constructor_goes_by_the_clock_of_its_zone() -> None:
    host = LocalHost({"SHOP": Shop}, now=datetime(2026, 10, 24, tzinfo=UTC))
    shop_of(host).seen()
    host.clock.advance(timedelta(days=2))

    assert [at for at, _ in shop_of(host).seen()] == ["2026-10-24T07:00:00+00:00", "2026-10-25T08:00:00+00:00"]


def test_a_host_that_dies_after_the_callees_commit_asks_again_and_has_one_effect(host: LocalHost) -> None:
    shop_of(host).pay("b")
    host.crash_after_commits()
    host.clock.advance(timedelta(seconds=10))

    assert host.instance(Bank, "b").storage["total"] == 5
    assert shop_of(host).seen() == [[True, False, None, None, 1]]


def test_a_job_that_is_cancelled_while_it_is_under_way_is_not_heard_of(host: LocalHost) -> None:
    id_ = shop_of(host).order()

    def cancel(_: Request) -> Response:
        host.instance(Shop, "main").cancel_job(id_)
        return Response("too late")

    host.outbound.answer(URL, cancel)
    host.clock.advance()

    assert shop_of(host).seen() == []
    assert len(host.outbound.requests) == 1


def test_limits_are_met_sooner_where_a_test_lowers_them() -> None:
    host = LocalHost({"SHOP": Shop, "BANK": Bank}, limits=Limits(instance_jobs_max=2))
    shop_of(host).order()

    with pytest.raises(Exception, match="one more than 2 jobs of an instance exceeds the limit of 2"):
        shop_of(host).order()


def test_a_job_that_is_refused_leaves_the_one_that_it_would_have_replaced() -> None:
    class Keeper(StatefulActor):
        def keep(self) -> str:
            return self.ctx.schedule(timedelta(hours=1), "_later", key="kept")

        def replace(self) -> None:
            for _ in range(2):
                self.ctx.schedule(timedelta(hours=2), "_later")
            with pytest.raises(LimitError, match="making 3 jobs in one turn exceeds the limit of 2"):
                self.keep()

        def _later(self) -> None: ...

    host = LocalHost({"KEEPER": Keeper}, limits=Limits(turn_jobs_max=2, instance_jobs_max=3))
    keeper = host.env.KEEPER.id_from_name("k")
    kept = keeper.keep()
    keeper.replace()
    assert kept in {job.id for job in host.jobs()}

    again = keeper.keep()
    assert kept != again
    assert again in {job.id for job in host.jobs()}, "it takes the place of one, and needs none of its own"
    assert len(host.jobs()) == 3


@pytest.mark.parametrize(
    ("last", "unknown"),
    [("HostUnavailableError", True), ("MailboxFullError", True), ("ActorError", False), ("ActorMethodError", False)],
)
def test_what_one_try_left_unknown_stays_so_until_the_callee_has_answered(last: str, unknown: bool) -> None:
    limits, job = Limits(job_tries_max=2), StoredJob("i", {"kind": "call"}, 1, 1)
    lost = judged(job, failed(RefusedError("ActorOutputGateError", "lost")), 1, limits)
    over = judged(lost, failed(RefusedError(last, "no")), 2, limits)

    assert (lost.state, over.state) == ("retrying", "waiting")
    assert over.outcome is not None
    assert (over.unknown, over.outcome["unknown"]) == (unknown, unknown)


def test_an_instance_that_has_only_a_job_exists_until_it_is_erased(host: LocalHost) -> None:
    shop_of(host).seen()

    assert host.instances(Shop) == ["main"]
    host.instance(Shop, "main").erase()
    assert host.instances(Shop) == []
    assert host.jobs() == []


# Functions


def note_time(event: ScheduledEvent, env: Env) -> None:
    env.SHOP.id_from_name("times").heard([event.cron, event.scheduled_time.isoformat(), event.missed])


class Times(StatefulActor):
    def heard(self, what: Any) -> None:
        if self.ctx.storage.get("deaf", False):
            raise ValueError("not now")
        self.ctx.storage.put("heard", [*self.ctx.storage.get("heard", []), what])


@pytest.fixture
def timed() -> LocalHost:
    return LocalHost({"SHOP": Times}, scheduled=note_time, crons=["0 * * * *", "30 6 * * *"])


def heard(host: LocalHost) -> list[Any]:
    found: list[Any] = host.instance(Times, "times").storage.get("heard", [])
    return found


def test_a_function_runs_at_each_of_its_times(timed: LocalHost) -> None:
    timed.clock.advance(timedelta(hours=7))

    assert [at[11:16] for _, at, _ in heard(timed)] == [
        "01:00", "02:00", "03:00", "04:00", "05:00", "06:00", "06:30", "07:00",
    ]  # fmt: skip
    assert [cron for cron, at, _ in heard(timed) if at[14:16] == "30"] == ["30 6 * * *"]


def test_a_function_that_was_asleep_runs_once_for_each_text(timed: LocalHost) -> None:
    timed.crash(down=timedelta(days=1))
    timed.clock.advance()

    assert sorted(heard(timed)) == [
        ["0 * * * *", "2026-11-01T01:00:00+00:00", 23],
        ["30 6 * * *", "2026-11-01T06:30:00+00:00", 0],
    ]


def test_a_function_that_fails_is_run_again(timed: LocalHost) -> None:
    timed.instance(Times, "times").storage["deaf"] = True
    timed.clock.advance(timedelta(hours=1, seconds=2))
    timed.instance(Times, "times").storage["deaf"] = False
    timed.clock.advance(10)

    assert heard(timed) == [["0 * * * *", "2026-11-01T01:00:00+00:00", 0]]
    assert any("not now" in line.text for line in timed.log if line.instance == "fn local")


def test_times_without_a_scheduled_are_refused() -> None:
    with pytest.raises(ValueError, match=r"crons run scheduled\(event, env\) of the function, which is not there"):
        LocalHost({"SHOP": Times}, crons=["@daily"])
    with pytest.raises(ValueError, match="has a bad minute '61'"):
        LocalHost({"SHOP": Times}, scheduled=note_time, crons=["61 * * * *"])
