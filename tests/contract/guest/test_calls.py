"""Calls from one actor to another."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject

MIB = 1 << 20


@pytest.fixture
def caller(subject: NewSubject) -> Subject:
    """An instance of Caller."""
    return subject("Caller")


def test_a_call_takes_positions_and_names_and_returns_what_the_method_returned(
    caller: Subject, shapes: Subject
) -> None:
    def call(*args: Any, **kwargs: Any) -> Any:
        return caller.call("call", "SHAPES", shapes.name, "anything", list(args), kwargs).typed

    assert call() == [[], {}]
    assert call(1, "two") == [[1, "two"], {}]
    assert call(a=1, b=None) == [[], {"a": 1, "b": None}]
    assert call(1, b=2) == [[1], {"b": 2}]


@pytest.mark.parametrize(
    "value",
    [b"x", (1, 2), {1, 2}, frozenset({1}), Decimal("1.10"), {1: 2}, {"$hf": 1}, math.inf, 10**30, "名\ud800", None],
)
def test_arguments_and_results_keep_their_types(caller: Subject, value: Any) -> None:
    assert caller.call("pass_types", value).typed == [type(value).__name__, value]


def test_an_argument_that_cannot_be_passed_is_refused_before_the_call(caller: Subject) -> None:
    message = caller.call("pass_opaque").typed

    assert "the arguments of Probe.types" in message
    assert "cannot be stored or passed" in message


def test_stubs_know_their_names(caller: Subject) -> None:
    stubs = caller.call("stubs").typed

    assert (stubs["name"], stubs["id"], stubs["equal"]) == ("a", "a", True)
    one, other = stubs["unique"]
    assert one != other
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in (one, other))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "ValueError"),
        ("x" * 257, "ValueError"),
        ("a\x00", "ValueError"),
        ("\ud800", "ValueError"),
        (5, "TypeError"),
    ],
)
def test_a_name_that_breaks_its_rule_makes_no_stub(caller: Subject, name: Any, kind: str) -> None:
    assert caller.call("refuse_stub", name).typed.startswith(kind)


def test_a_binding_that_the_manifest_lacks_is_an_attribute_error(caller: Subject) -> None:
    kind, message = caller.call("try_call", "MISSING", "x", "get", [], {}).typed

    assert kind == "AttributeError"
    assert "MISSING" in message


def test_a_callee_that_refuses_is_an_actor_call_error_with_its_facts(caller: Subject, shapes: Subject) -> None:
    assert caller.call("try_call", "SHAPES", shapes.name, "refuses", [], {}).typed == [
        "ActorError", "insufficient funds", "insufficient_funds", False, "ActorError: insufficient funds",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "args", "name"),
    [
        ("raises", ["value"], "ActorMethodError"),
        ("missing", [], "ActorUnknownMethodError"),
        ("alarm", [], "ActorPrivateMethodError"),
        ("computed", [], "ActorPrivateMethodError"),
        ("two", [], "BadArgumentsError"),
        ("two", [1, 2, 3], "BadArgumentsError"),
    ],
)
def test_any_other_failure_of_the_callee_has_its_name(
    caller: Subject, shapes: Subject, method: str, args: list[Any], name: str
) -> None:
    found = caller.call("try_call", "SHAPES", shapes.name, method, args, {}).typed

    assert found[0] == name
    assert (found[2], found[3]) == (None, False)


def test_a_method_that_begins_with_an_underscore_is_not_even_called(caller: Subject) -> None:
    assert caller.call("try_call", "SHAPES", "x", "_private", [], {}).typed[0] == "AttributeError"


def test_a_result_of_the_callee_that_cannot_be_encoded_is_its_error(caller: Subject, probe: Subject) -> None:
    assert caller.call("try_call", "PROBE", probe.name, "return_unstorable", ["instance"], {}).typed[0] == "CodecError"
    assert caller.call("try_call", "PROBE", probe.name, "return_sized", [MIB + 1], {}).typed[0] == "LimitError"


def test_a_constructor_of_the_callee_that_fails_is_its_error(caller: Subject, subject: NewSubject) -> None:
    bad = subject("Made", "bad")

    found = caller.call("try_call", "MADE", bad.name, "constructed", [], {}).typed

    assert found[:2] == ["ActorInitError", "ValueError: cannot be made"]


def test_a_refusal_that_the_caller_does_not_catch_reaches_the_outermost_caller(
    caller: Subject, shapes: Subject
) -> None:
    reply = caller.plain("call", f'["SHAPES","{shapes.name}","refuses",[],{{}}]')

    assert reply.status == 409
    assert reply.error == {
        "name": "ActorError", "message": "insufficient funds", "retryable": False, "code": "insufficient_funds",
    }  # fmt: skip


def test_any_other_failure_that_it_does_not_catch_is_the_callers_own(caller: Subject, shapes: Subject) -> None:
    reply = caller.call("call", "SHAPES", shapes.name, "raises", ["value"], {})

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"] == "ActorCallError: ActorMethodError: ValueError: no such cart"


def test_what_a_callee_committed_stays_when_its_caller_fails(caller: Subject, probe: Subject) -> None:
    assert caller.call("put_call_raise", probe.name).refusal == (500, "ActorMethodError")

    assert probe.one("get", "theirs") == 1
    assert caller.call("mine").typed is None


def test_a_callers_own_turn_goes_on_where_it_was(caller: Subject, probe: Subject) -> None:
    assert caller.call("put_then_call", probe.name).typed == [[None, 1], 2]
    assert caller.call("mine").typed == 2


def test_calls_go_on_from_actor_to_actor(subject: NewSubject) -> None:
    names = [subject("Caller", f"n{number}").name for number in range(5)]

    assert subject("Caller").call("around", names).typed == "end"


def test_a_call_to_oneself_is_refused(caller: Subject) -> None:
    reply = caller.call("around", [caller.name])

    assert reply.refusal == (409, "ActorReentrancyError")
    assert f"{caller.label} -> {caller.label}" in reply.error["message"]
    assert caller.call("around", []).typed == "end"


def test_a_call_that_comes_back_is_refused_and_its_path_is_spelled(subject: NewSubject) -> None:
    a, b, c = (subject("Caller", name) for name in "abc")
    path = f"{a.label} -> {b.label} -> {c.label} -> {a.label}"

    uncaught = a.call("around", [b.name, c.name, a.name])
    caught = a.call("around_caught", [b.name, c.name, a.name]).typed

    assert uncaught.refusal == (409, "ActorReentrancyError")
    assert path in uncaught.error["message"]
    assert caught[0] == "ActorReentrancyError"
    assert path in caught[1]


def test_the_same_name_of_another_type_is_another_instance(subject: NewSubject) -> None:
    caller = subject("Caller")

    assert caller.call("call", "PROBE", caller.name, "about", [], {}).typed["type"] == "Probe"


def test_calls_nest_sixteen_deep_at_most(subject: NewSubject) -> None:
    names = [subject("Caller", f"n{number}").name for number in range(17)]
    outermost = subject("Caller")

    assert outermost.call("around_caught", names[:16]).typed == "end"
    name, message = outermost.call("around_caught", names).typed

    assert name == "LimitError"
    assert "16" in message
    assert f"Caller/{names[16]}" in message


def test_arguments_between_actors_have_one_mebibyte_at_most(caller: Subject) -> None:
    at = MIB - len('[""]')

    assert caller.call("pass_large", at).typed == at
    name, message = caller.call("pass_large", at + 1).typed
    assert name == "LimitError"
    assert f"{MIB + 1} bytes" in message


def test_a_waiting_callers_instance_does_not_run_other_turns(caller: Subject, probe: Subject) -> None:
    """Its own turn is one: what it read before the call is still so after it."""
    assert caller.call("put_then_call", probe.name).status == 200


def test_an_actor_answers_a_request_with_its_fetch(caller: Subject, subject: NewSubject) -> None:
    other = subject("Caller", "other")

    status, headers, text = caller.call("fetch_from", other.name, "POST", "http://shop/a%20b?c=1&d=", "body é").typed

    assert status == 201
    assert text == '["POST","http://shop/a%20b?c=1&d=","/a b",{"c":"1","d":""},"1","body é"]'
    assert [value for name, value in headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert other.call("mine").typed == "/a b"


def test_a_fetch_that_fails_commits_nothing_and_is_an_actor_call_error(caller: Subject, subject: NewSubject) -> None:
    other = subject("Caller", "other")

    assert caller.call("fetch_from", other.name, "GET", "http://shop/fail", "").typed == [
        "ActorMethodError", "ValueError: fetch failed",
    ]  # fmt: skip
    name, message = caller.call("fetch_from", other.name, "GET", "http://shop/wrong", "").typed
    assert (name, message.partition(":")[0]) == ("ActorMethodError", "TypeError")
    assert other.call("mine").typed is None


def test_an_actor_that_has_no_fetch_is_not_asked(caller: Subject) -> None:
    """In the host's words, not in those of a guest."""
    assert caller.call("fetch_probe").typed == ["ActorUnknownMethodError", "Probe has no fetch handler"]


def test_a_fetch_that_comes_back_is_refused(caller: Subject) -> None:
    assert caller.call("fetch_from", caller.name, "GET", "http://shop/", "").typed[0] == "ActorReentrancyError"
