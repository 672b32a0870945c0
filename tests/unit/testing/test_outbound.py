"""The kit's answers to outbound requests, and what an actor makes of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from holdfast import ActorCallError, Request, Response, StatefulActor, http
from holdfast._outbound import use_import
from holdfast.testing import LocalHost, UnansweredRequestError

API = "https://api.example.com"


class Asker(StatefulActor):
    def ask(self, url: str, method: str = "GET") -> Any:
        answer = http.request(method, url, headers={"Authorization": "mine", "X-Mine": "1"})
        return [answer.status, answer.text()]

    def catches(self, url: str) -> str:
        try:
            http.get(url)
        except http.HttpError as error:
            return type(error).__name__
        return ""

    def with_httpx(self, url: str) -> Any:
        with httpx.Client(transport=http.HttpxTransport(), follow_redirects=True, timeout=5) as client:
            try:
                answer = client.post(url, json={"a": 1}, headers={"X-Mine": "1"})
            except httpx.HTTPError as error:
                return [type(error).__name__, str(error)]
            return [answer.status_code, answer.json(), str(answer.url)]


@pytest.fixture
def local() -> LocalHost:
    return LocalHost({"ASKER": Asker})


def test_of_two_answers_that_fit_the_later_one_counts_and_a_method_narrows_it(local: LocalHost) -> None:
    asker = local.env.ASKER.id_from_name("a")
    local.outbound.answer(f"{API}/*", Response("all"))
    local.outbound.answer(f"{API}/one", Response("one", 201))
    local.outbound.answer(f"{API}/one", lambda request: Response(request.method), method="delete")

    assert asker.ask(f"{API}/other") == [200, "all"]
    assert asker.ask(f"{API}/one") == [201, "one"]
    assert asker.ask(f"{API}/one", "DELETE") == [200, "DELETE"]
    assert [each.url for each in local.outbound.requests] == [f"{API}/other", f"{API}/one", f"{API}/one"]


@pytest.mark.parametrize("method", ["ask", "catches"])
def test_a_request_that_nothing_answers_fails_the_test_by_its_name(local: LocalHost, method: str) -> None:
    """Also where the actor catches every error."""
    asker = local.env.ASKER.id_from_name("a")

    with pytest.raises(UnansweredRequestError, match=f"GET {API}/x, of Asker/a: host.outbound.answer"):
        getattr(asker, method)(f"{API}/x")
    local.outbound.answer(f"{API}/x", Response("now"))
    assert asker.ask(f"{API}/x") == [200, "now"]


@pytest.mark.parametrize(
    "error",
    [http.OutboundTimeoutError, http.OutboundBusyError, http.OutboundUnreachableError, http.OutboundDeniedError],
)
def test_an_error_is_an_answer_too(local: LocalHost, error: type[http.HttpError]) -> None:
    local.outbound.answer(f"{API}/x", error("why"))

    assert local.env.ASKER.id_from_name("a").catches(f"{API}/x") == error.__name__
    with pytest.raises(ActorCallError, match=f"{error.__name__}: why"):
        local.env.ASKER.id_from_name("a").ask(f"{API}/x")


def test_what_is_no_answer_is_refused(local: LocalHost) -> None:
    with pytest.raises(TypeError, match="an answer is a Response"):
        local.outbound.answer(API, "text")  # type: ignore[arg-type]


def test_to_another_origin_no_credentials_go_along(local: LocalHost) -> None:
    local.outbound.answer(f"{API}/from", Response("", 307, {"Location": "https://b.example/to"}))
    local.outbound.answer("https://b.example/to", Response("there"))
    local.outbound.answer(f"{API}/down", Response("", 302, {"Location": "http://b.example/"}))
    asker = local.env.ASKER.id_from_name("a")

    assert asker.ask(f"{API}/from") == [200, "there"]
    first, second = local.outbound.requests
    assert (first.headers.get("authorization"), second.headers.get("authorization")) == ("mine", None)
    assert second.headers["x-mine"] == "1"
    assert asker.catches(f"{API}/down") == "OutboundDeniedError"


@pytest.mark.parametrize(
    ("allow", "url", "allowed"),
    [
        ("https://api.example.com", f"{API}/x", True),
        ("https://api.example.com", "https://api.example.com:8443/x", False),
        ("https://*.example.com", f"{API}/x", True),
        ("https://*.example.com", "https://example.com/x", False),
        ("https://api.example.com/v2/", f"{API}/v2/x", True),
        ("https://api.example.com/v2/", f"{API}/v2/../x", False),
        ("https://api.example.com/v2/", f"{API}/v2/%2e%2e/x", False),
        ("https://*", "https://h.example:8443/", True),
        ("https://*", "http://h.example/", False),
    ],
)
def test_what_may_be_asked_is_as_on_a_host(allow: str, url: str, allowed: bool) -> None:
    local = LocalHost({"ASKER": Asker}, outbound=[allow])
    local.outbound.answer("*", Response("yes"))

    assert local.env.ASKER.id_from_name("a").catches(url) == ("" if allowed else "OutboundDeniedError")


def test_a_client_of_httpx_asks_through_the_host(local: LocalHost) -> None:
    local.outbound.answer(f"{API}/from", Response("", 307, {"Location": "/to"}))
    local.outbound.answer(f"{API}/to", lambda request: Response.json(request.json()))
    local.outbound.answer(f"{API}/late", http.OutboundTimeoutError("late"))
    local.outbound.answer(f"{API}/busy", http.OutboundBusyError("busy"))
    asker = local.env.ASKER.id_from_name("a")

    assert asker.with_httpx(f"{API}/from") == [200, {"a": 1}, f"{API}/to"]
    assert local.outbound.requests[0].headers["x-mine"] == "1"
    assert asker.with_httpx(f"{API}/late") == ["ReadTimeout", "late"]
    assert asker.with_httpx(f"{API}/busy") == ["ConnectError", "busy"]


def test_outside_of_a_turn_nothing_can_be_asked() -> None:
    use_import(None)  # what another test's sandbox has left
    with pytest.raises(RuntimeError, match="belong to turns"):
        http.get(API)


def test_an_answer_is_a_response_and_reads_as_json() -> None:
    answer = http.HttpResponse.from_wire('{"status":200,"headers":[],"body":"[1]"}')

    assert isinstance(answer, Response)
    assert answer.json() == [1]
    assert (
        Request("https://h/").to_wire(timeout_ms=5)
        == '{"method":"GET","url":"https://h/","timeout_ms":5,"headers":[],"body":""}'
    )
