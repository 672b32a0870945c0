from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast import ActorCallError, ActorNamespace, CodecError, Env, Request, Response
from holdfast._env import make_env
from tests.unit.guest.memory_host import MemoryCalls, refusal


@pytest.fixture
def calls() -> MemoryCalls:
    return MemoryCalls()


@pytest.fixture
def env(calls: MemoryCalls) -> Env:
    return make_env({"bindings": {"ACCOUNT": "Account"}, "variables": {"GREETING": "hello"}}, calls)


def test_env_has_what_the_manifest_declares_and_says_so_of_what_it_has_not(env: Env) -> None:
    assert env.GREETING == "hello"
    assert isinstance(env.ACCOUNT, ActorNamespace)
    assert sorted(env) == ["ACCOUNT", "GREETING"]
    with pytest.raises(AttributeError, match=r"env has no 'GREETNG': holdfast.toml declares ACCOUNT, GREETING"):
        env.GREETNG  # noqa: B018
    with pytest.raises(AttributeError, match="cannot be changed"):
        env.GREETING = "x"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del env.GREETING


@pytest.mark.parametrize(
    ("args", "kwargs", "arguments"),
    [
        ((), {}, ""),
        ((1, (2,)), {}, '[1,{"$hf":"tuple","v":[2]}]'),
        ((), {"amount": 5}, '{"amount":5}'),
        ((1,), {"b": {2}}, '{"$hf":"arguments","v":[[1],{"b":{"$hf":"set","v":[2]}}]}'),
    ],
)
def test_a_call_passes_typed_arguments_and_reads_a_typed_result(
    env: Env, calls: MemoryCalls, args: Any, kwargs: Any, arguments: str
) -> None:
    calls.answer = '{"$hf":"tuple","v":[1]}'

    assert env.ACCOUNT.id_from_name("alice", location_hint="eu").deposit(*args, **kwargs) == (1,)
    assert calls.asked == [("ACCOUNT", "alice", "deposit", arguments)]


def test_a_failed_call_says_how(env: Env, calls: MemoryCalls) -> None:
    calls.answer = refusal("ActorError", "insufficient funds", code="insufficient_funds", status=409)

    with pytest.raises(ActorCallError, match="ActorError: insufficient funds") as caught:
        env.ACCOUNT.id_from_name("alice").debit(5)

    error = caught.value
    assert (error.name, error.message, error.code) == ("ActorError", "insufficient funds", "insufficient_funds")
    assert error.retryable is False


def test_an_argument_that_cannot_be_passed_is_named(env: Env, calls: MemoryCalls) -> None:
    with pytest.raises(CodecError, match=r"the arguments of Account.deposit\['amount'\] is "):
        env.ACCOUNT.id_from_name("alice").deposit(amount=print)
    assert calls.asked == []


def test_a_stub_knows_its_name_and_equals_another_of_the_same_instance(env: Env) -> None:
    stub = env.ACCOUNT.id_from_name("alice")

    assert (stub.name, stub.id) == ("alice", "alice")
    assert stub == env.ACCOUNT.id_from_name("alice")
    assert stub != env.ACCOUNT.id_from_name("bob")
    assert len({stub, env.ACCOUNT.id_from_name("alice")}) == 1
    with pytest.raises(AttributeError, match="no method that a stub can call"):
        stub._debit  # noqa: B018


def test_unique_names_are_32_hexadecimal_digits(env: Env) -> None:
    names = {env.ACCOUNT.new_unique_id().name for _ in range(100)}

    assert len(names) == 100
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "é" * 129])
def test_a_bad_name_is_refused(env: Env, name: str) -> None:
    with pytest.raises(ValueError, match="the name of an instance"):
        env.ACCOUNT.id_from_name(name)


@pytest.mark.parametrize("name", ["a/b", ".", "..", "+15551234567", "tenant:room", "名前", "x" * 256])
def test_a_name_of_any_kind_is_passed_as_it_is(env: Env, calls: MemoryCalls, name: str) -> None:
    env.ACCOUNT.id_from_name(name).balance()

    assert calls.asked[0][1] == name


def test_a_stub_fetches(env: Env, calls: MemoryCalls) -> None:
    calls.answer = Response.json({"ok": True}, status=201).to_wire()

    response = env.ACCOUNT.id_from_name("alice").fetch(Request("http://host/x", "POST", body="text"))

    assert (response.status, response.text()) == (201, '{"ok":true}')
    assert json.loads(calls.asked[0][3])["body"] == "text"
    with pytest.raises(TypeError, match=r"holdfast\.Request"):
        env.ACCOUNT.id_from_name("alice").fetch("http://host/x")
