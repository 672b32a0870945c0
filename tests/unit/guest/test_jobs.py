"""What an actor leaves to the host as jobs: what the host gets, and what is refused before it gets anything."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from holdfast import Context, HostError, Job, JobInfo, LimitError, Outcome, StatefulActor
from tests.unit.guest.memory_host import Hosted, refusal

BINDINGS = {"WALLET": "Wallet"}
DUE = datetime(2030, 1, 1, tzinfo=UTC)
Act = Callable[[Any], Any]


class Shop(StatefulActor):
    attribute = 5

    def _expire(self, order: str, *, twice: bool = False, info: JobInfo) -> None: ...

    def _report(self) -> None: ...

    def _told(self, outcome: Outcome) -> None: ...

    @staticmethod
    def _still(order: str) -> None: ...

    @property
    def total(self) -> int:
        return 0


@pytest.fixture
def shop() -> Hosted:
    return Hosted(Shop, bindings=BINDINGS)


def context_of(hosted: Hosted) -> Context:
    actor = hosted.guest._actor
    assert actor is not None
    return actor.ctx


def wallet(hosted: Hosted) -> Any:
    return hosted.guest._env.WALLET.id_from_name("bob")


def put_by(hosted: Hosted) -> dict[str, Any]:
    """The one job that the host got."""
    [job] = map(json.loads, hosted.jobs.asked)
    return dict(job)


def test_a_run_says_its_method_time_key_and_arguments(shop: Hosted) -> None:
    id_ = context_of(shop).schedule(DUE, "_expire", "17", kwargs={"twice": True}, key="expire/17")

    assert id_ == f"{1:032x}"
    assert put_by(shop) == {
        "kind": "run",
        "method": "_expire",
        "due_us": int(DUE.timestamp() * 1e6),
        "key": "expire/17",
        "arguments": {"$hf": "arguments", "v": [["17"], {"twice": True}]},
    }


def test_a_span_is_from_now(shop: Hosted) -> None:
    before = time.time()
    context_of(shop).schedule(timedelta(hours=1), "_still", "17")

    assert before + 3600 <= put_by(shop)["due_us"] / 1e6 <= time.time() + 3601


def test_a_cron_text_goes_with_its_zone(shop: Hosted) -> None:
    context_of(shop).schedule("0 9 * * mon-fri", "_report", tz="Europe/Berlin")

    assert put_by(shop) == {
        "kind": "run",
        "method": "_report",
        "cron": "0 9 * * mon-fri",
        "tz": "Europe/Berlin",
        "arguments": {"$hf": "arguments", "v": [[], {}]},
    }


def test_a_call_says_whom_it_calls_with_what_and_who_hears_of_it(shop: Hosted) -> None:
    context_of(shop).outbox.call(wallet(shop), "receive", Decimal(5), then="_told", key="pay")

    assert put_by(shop) == {
        "kind": "call",
        "binding": "WALLET",
        "name": "bob",
        "method": "receive",
        "key": "pay",
        "then": "_told",
        "arguments": {"$hf": "arguments", "v": [[{"$hf": "decimal", "v": "5"}], {}]},
    }


def test_a_request_is_spelled_as_those_that_are_sent_at_once(shop: Hosted) -> None:
    context_of(shop).outbox.http("post", "https://api.example.com/x", json={"a": 1}, timeout=1.5, then="_told")

    assert put_by(shop) == {
        "kind": "http",
        "then": "_told",
        "request": {
            "method": "POST",
            "url": "https://api.example.com/x",
            "timeout_ms": 1500,
            "headers": [["Content-Type", "application/json"]],
            "body": '{"a":1}',
        },
    }


def test_a_delay_is_counted_from_now(shop: Hosted) -> None:
    before = time.time()
    context_of(shop).outbox.http("GET", "https://api.example.com/x", delay=60)

    assert before + 60 <= put_by(shop)["due_us"] / 1e6 <= time.time() + 61


REFUSED: dict[str, tuple[Act, type[Exception], str]] = {
    "a method that is not there": (
        lambda ctx: ctx.schedule(DUE, "_expires", "17"),
        AttributeError,
        "Shop has no method '_expires' that a job can run",
    ),
    "an attribute": (lambda ctx: ctx.schedule(DUE, "attribute"), AttributeError, "no method 'attribute'"),
    "a property": (lambda ctx: ctx.schedule(DUE, "total"), AttributeError, "no method 'total'"),
    "a handler": (lambda ctx: ctx.schedule(DUE, "alarm", 5), AttributeError, "no method 'alarm'"),
    "the constructor": (lambda ctx: ctx.schedule(DUE, "__init__", 1, 2), AttributeError, "no method '__init__'"),
    "a method itself": (lambda ctx: ctx.schedule(DUE, print), TypeError, "takes the name of a method, like '_expire'"),
    "an argument too few": (
        lambda ctx: ctx.schedule(DUE, "_expire"),
        TypeError,
        "Shop._expire: missing a required argument: 'order'; it is _expire(order: str",
    ),
    "an argument too many": (lambda ctx: ctx.schedule(DUE, "_report", 5), TypeError, "too many positional arguments"),
    "an unknown name": (lambda ctx: ctx.schedule(DUE, "_report", kwargs={"a": 5}), TypeError, "unexpected keyword"),
    "kwargs that are none": (lambda ctx: ctx.schedule(DUE, "_report", kwargs={5: 5}), TypeError, "kwargs is a dict"),
    "a naive time": (lambda ctx: ctx.schedule(datetime(2030, 1, 1), "_report"), ValueError, "a job needs a datetime"),
    "seconds from now": (lambda ctx: ctx.schedule(3600, "_report"), ValueError, "a job takes a Unix time"),
    "no time": (lambda ctx: ctx.schedule(None, "_report"), TypeError, "a job takes an aware datetime"),
    "a zone of a time": (lambda ctx: ctx.schedule(DUE, "_report", tz="UTC"), TypeError, "a datetime has its own"),
    "an empty key": (lambda ctx: ctx.schedule(DUE, "_report", key=""), ValueError, "the key of a job has 1 to 255"),
    "a long key": (lambda ctx: ctx.schedule(DUE, "_report", key="k" * 256), ValueError, "this one 256"),
    "no key": (lambda ctx: ctx.schedule(DUE, "_report", key=5), TypeError, "the key of a job is a str"),
    "no URL": (lambda ctx: ctx.outbox.http("GET", "/x"), ValueError, "'/x' is no URL like"),
    "no method of HTTP": (lambda ctx: ctx.outbox.http("GET /", "https://a.example"), ValueError, "no method of HTTP"),
    "a timeout of zero": (lambda ctx: ctx.outbox.http("GET", "https://a.example", timeout=0), ValueError, "timeout"),
    "a body and json": (lambda ctx: ctx.outbox.http("PUT", "https://a.example", body="a", json=5), TypeError, "both"),
    "a then that is not there": (
        lambda ctx: ctx.outbox.http("GET", "https://a.example", then="_heard"),
        AttributeError,
        "Shop has no method '_heard'",
    ),
    "a then that takes nothing": (
        lambda ctx: ctx.outbox.http("GET", "https://a.example", then="_report"),
        TypeError,
        "Shop._report: too many positional arguments",
    ),
    "a negative delay": (lambda ctx: ctx.outbox.http("GET", "https://a.example", delay=-1), ValueError, "at least 0"),
    "an endless delay": (
        lambda ctx: ctx.outbox.http("GET", "https://a.example", delay=float("nan")),
        ValueError,
        "a delay of nan seconds",
    ),
    "no delay": (lambda ctx: ctx.outbox.http("GET", "https://a.example", delay="1h"), TypeError, "a delay is"),
    "no stub": (lambda ctx: ctx.outbox.call("bob", "receive"), TypeError, "takes a stub"),
    "neither id nor key": (lambda ctx: ctx.cancel(), TypeError, "cancel takes the id of a job, or its key"),
    "id and key": (lambda ctx: ctx.cancel("a", key="b"), TypeError, "cancel takes the id of a job, or its key"),
    "no id": (lambda ctx: ctx.cancel(5), TypeError, "the id of a job is a str"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_refused_before_the_host_is_asked(shop: Hosted, what: str) -> None:
    act, kind, said = REFUSED[what]
    with pytest.raises(kind, match=re.escape(said)):
        act(context_of(shop))

    assert shop.jobs.asked == []


@pytest.mark.parametrize("method", ["_private", "not a name", "fetch", "socket_close"])
def test_a_call_that_no_caller_may_make_is_refused(shop: Hosted, method: str) -> None:
    with pytest.raises(AttributeError, match=f"Wallet has no method '{method}' that callers may call"):
        context_of(shop).outbox.call(wallet(shop), method)
    with pytest.raises(TypeError, match="without once"):
        context_of(shop).outbox.call(wallet(shop).once("a"), "receive")


def test_what_the_host_refuses_is_raised_as_what_it_is(shop: Hosted) -> None:
    context = context_of(shop)
    shop.jobs.refusal = refusal("BadRequestError", "the cron text '61 * * * *' has a bad minute '61'")
    with pytest.raises(ValueError, match="has a bad minute '61'"):
        context.schedule("61 * * * *", "_report")
    shop.jobs.refusal = refusal("LimitError", "10,001 jobs exceed the limit of 10,000")
    with pytest.raises(LimitError, match="exceed the limit"):
        context.schedule(DUE, "_report")
    shop.jobs.refusal = refusal("UnsupportedError", "this host runs no jobs")
    for act in (context.jobs, lambda: context.cancel(key="a")):
        with pytest.raises(HostError, match="runs no jobs"):
            act()


def test_jobs_are_listed_page_by_page(shop: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"id": "a1", "kind": "run", "state": "armed", "due_us": 5_000_000, "method": "_report", "cron": "@daily"}
    second = {"id": "b2", "kind": "http", "state": "abandoned", "url": "https://a.example", "tries": 12, "later": 1}
    pages = {"": {"jobs": [first], "next": "a1"}, "a1": {"jobs": [second], "next": ""}}
    monkeypatch.setattr(shop.jobs, "list", lambda after, limit: json.dumps(pages[after]))

    due = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert context_of(shop).jobs() == [
        Job("a1", "run", "armed", due=due, method="_report", cron="@daily"),
        Job("b2", "http", "abandoned", url="https://a.example", tries=12),
    ]


def test_a_job_is_cancelled_by_its_id_or_its_key(shop: Hosted) -> None:
    assert context_of(shop).cancel("a1")
    assert context_of(shop).cancel(key="expire/17")

    assert shop.jobs.asked == ['cancel {"id":"a1"}', 'cancel {"key":"expire/17"}']
