import hashlib
import hmac
from datetime import timedelta

import pytest

from holdfast import ActorCallError, Response
from holdfast.http import OutboundTimeoutError

URL = "http://127.0.0.1:9000/hooks"


@pytest.fixture
def acme(host):
    acme = host.env.SUBSCRIPTION.id_from_name("acme")
    acme.subscribe(URL, "s3cret")
    return acme


def test_an_event_is_delivered_signed_and_leaves_no_trace(host, acme):
    host.outbound.answer(URL, Response())
    assert acme.publish("order.paid", {"order": 17}) == {"number": 1}
    assert acme.pending() == [1]
    host.clock.advance()

    [request] = host.outbound.requests
    assert request.json() == {"id": "acme-1", "event": "order.paid", "data": {"order": 17}}
    assert request.headers["Idempotency-Key"] == "acme-1"
    expected = hmac.new(b"s3cret", request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Signature"] == f"sha256={expected}"
    assert (acme.pending(), acme.dead_letters()) == ([], [])


def test_who_is_busy_is_told_again_under_the_same_id(host, acme):
    answers = iter([Response("", 503), Response("", 429, {"Retry-After": "60"}), Response()])
    host.outbound.answer(URL, lambda request: next(answers))
    acme.publish("order.paid", {})
    host.clock.advance(10)
    assert acme.pending() == [1]
    host.clock.advance(60)

    assert (acme.pending(), acme.dead_letters()) == ([], [])
    assert {each.headers["Idempotency-Key"] for each in host.outbound.requests} == {"acme-1"}
    assert len(host.outbound.requests) == 3


def test_who_refuses_is_a_dead_letter_that_can_be_sent_again(host, acme):
    host.outbound.answer(URL, Response("", 410))
    acme.publish("order.paid", {})
    host.clock.advance()
    assert acme.dead_letters() == [{"number": 1, "tries": 1, "why": "it was answered with status 410"}]
    host.outbound.answer(URL, Response())
    acme.send_again(1)
    assert (acme.pending(), acme.dead_letters()) == ([1], [])
    host.clock.advance()

    assert (acme.pending(), acme.dead_letters()) == ([], [])
    assert host.outbound.requests[0].body == host.outbound.requests[1].body


def test_who_never_answers_is_given_up_after_twelve_tries(host, acme):
    host.outbound.answer(URL, OutboundTimeoutError("no answer within 30 s"))
    acme.publish("order.paid", {})
    host.clock.advance(timedelta(hours=8))

    [letter] = acme.dead_letters()
    assert (letter["tries"], len(host.outbound.requests)) == (12, 12)
    assert letter["why"] == "OutboundTimeoutError: no answer within 30 s"


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_an_event_and_its_delivery_are_one(host, acme, writes):
    host.crash_after_writes(writes)
    with pytest.raises(ActorCallError):
        acme.publish("order.paid", {})
    host.clock.advance()

    assert (acme.pending(), host.outbound.requests) == ([], [])
    assert "count" not in host.instance("Subscription", "acme").storage


def test_a_delivery_survives_a_host_that_is_down_for_a_day(host, acme):
    host.outbound.answer(URL, Response())
    acme.publish("order.paid", {})
    host.crash(down=timedelta(days=1))
    host.clock.advance()

    assert len(host.outbound.requests) == 1
    assert acme.pending() == []


def test_what_cannot_be_is_refused(host, acme):
    nobody = host.env.SUBSCRIPTION.id_from_name("nobody")
    for act, code in [
        (lambda: nobody.publish("x", {}), "not_subscribed"),
        (lambda: nobody.subscribe(URL, ""), "no_secret"),
        (lambda: acme.send_again(7), "no_such_event"),
    ]:
        with pytest.raises(ActorCallError) as refused:
            act()
        assert refused.value.code == code
