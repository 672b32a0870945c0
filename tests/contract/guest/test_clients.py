"""`holdfast.client` over the suite's actors: for threads and for a loop, against kit and host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import ActorCallError
from holdfast.client import AsyncClient, Client
from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver, HostDriver, KitDriver, Subject
from tests.contract.guest.test_values import VALUES

Call = Callable[..., Any]


@pytest.fixture(params=["for threads", "for a loop"])
def call(driver: Driver, request: pytest.FixtureRequest) -> Iterator[Call]:
    """`call(subject, method, *args, **kwargs)`, by either of the clients; `key` is an idempotency key."""
    assert isinstance(driver, (KitDriver, HostDriver))
    if request.param == "for threads":
        with driver.host.client() if isinstance(driver, KitDriver) else Client(driver.host.url) as client:

            def now(subject: Subject, method: str, *args: Any, key: str = "", **kwargs: Any) -> Any:
                actor = client.actor(subject.type, subject.name)
                return getattr(actor.once(key) if key else actor, method)(*args, **kwargs)

            yield now
        return
    with asyncio.Runner() as loop:
        other = driver.host.async_client() if isinstance(driver, KitDriver) else AsyncClient(driver.host.url)

        def awaited(subject: Subject, method: str, *args: Any, key: str = "", **kwargs: Any) -> Any:
            async def ask() -> Any:
                actor = other.actor(subject.type, subject.name)
                return await getattr(actor.once(key) if key else actor, method)(*args, **kwargs)

            return loop.run(ask())

        yield awaited
        loop.run(other.close())


def shown(value: object) -> str:
    """As `repr`, which tells 1, 1.0 and True apart; members of a set in an order of their own."""
    kind = type(value).__name__
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(map(shown, value)))})"
    if isinstance(value, list | tuple):
        return f"{kind}({', '.join(map(shown, value))})"
    if isinstance(value, dict):
        return f"{kind}({', '.join(f'{shown(key)}: {shown(each)}' for key, each in value.items())})"
    return repr(value)


def test_values_keep_their_types_both_ways(call: Call, probe: Subject, shapes: Subject) -> None:
    values = [value for value, _ in VALUES]

    assert shown(call(shapes, "anything", *values)) == shown([values, {}])
    assert call(shapes, "anything", a=values[0], b=(1, {2})) == [[], {"a": values[0], "b": (1, {2})}]
    stored = [[["put", "k", value], ["get", "k"]] for value in values]
    assert shown([call(probe, "do", *steps)[1] for steps in stored]) == shown(values)


def test_arguments_come_by_position_and_by_name(call: Call, shapes: Subject) -> None:
    assert call(shapes, "two", 1) == call(shapes, "two", a=1) == [1, "default"]
    assert call(shapes, "two", 1, 2) == call(shapes, "two", b=2, a=1) == [1, 2]
    assert call(shapes, "nothing") is None


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("raises", ["value"]),
        ("recurses", []),
        ("refuses", []),
        ("refuses_plainly", []),
        ("refuses_with", [418, "teapot"]),
        ("missing", []),
        ("two", [1, 2, 3]),
    ],
)
def test_an_error_is_the_one_that_an_actor_gets(
    call: Call, subject: NewSubject, shapes: Subject, method: str, args: list[Any]
) -> None:
    told = subject("Caller").call("try_call", "SHAPES", shapes.name, method, args, {}).typed
    with pytest.raises(ActorCallError) as caught:
        call(shapes, method, *args)

    error = caught.value
    assert [error.name, error.message, error.code, error.retryable, str(error)] == told


def test_a_key_has_one_effect(call: Call, probe: Subject) -> None:
    first = call(probe, "do", ["put", "k", 1], key="one")
    call(probe, "do", ["put", "k", 2])

    assert call(probe, "do", ["put", "k", 1], key="one") == first
    assert call(probe, "do", ["get", "k"]) == [2]
