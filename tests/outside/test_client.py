"""`holdfast.client` against a real host."""

from __future__ import annotations

import asyncio
import math
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from holdfast import ActorCallError
from holdfast.client import AsyncClient, Client, HostUnreachableError
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST

VALUES: list[Any] = [
    None, True, 1 << 80, 1.5, math.inf, "ä\ud800", b"\x00\xff", Decimal("9.90"), datetime(2026, 11, 30, tzinfo=UTC),
    UUID(int=7), {"a", "b"}, (1, [2, {"k": (3,)}]), {1: "one", "two": 2},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[type(value).__name__ for value in VALUES])
def test_a_value_comes_back_as_it_went(probe_host: StartHost, value: Any) -> None:
    with Client(probe_host().url) as client:
        assert client.actor("Probe", "values").echo(value) == value
        assert client.actor("Probe", "values").echo(value=value) == value


@pytest.mark.parametrize("name", ["ä b", ".", "..", "a/b", "a%2Fb", "?x#y", "x" * 256, "\u200d"])
def test_an_instance_of_any_name_is_called(probe_host: StartHost, name: str) -> None:
    host = probe_host()
    with Client(host.url) as client:
        client.actor("Probe", name).put("who", name)
        listed = []
        with host.caller() as caller:
            listed = [each["name"] for each in caller.request("GET", "/v1/instances/Probe").value["instances"]]
        assert listed == [name]


def test_refusals_are_the_hosts_own(probe_host: StartHost) -> None:
    with Client(probe_host().url) as client:
        actor = client.actor("Probe", "r")
        cases: list[tuple[Callable[[], Any], str, int]] = [
            (lambda: actor.raise_only(), "ActorMethodError", 500),
            (lambda: actor.put_then_refuse("a", 1), "ActorError", 418),
            (lambda: actor.absent(), "ActorUnknownMethodError", 404),
            (lambda: client.actor("Absent", "r").get("a"), "UnknownActorTypeError", 404),
            (lambda: client.actor("Probe", "").get("a"), "InvalidNameError", 400),
            (lambda: actor.get(), "BadArgumentsError", 400),
        ]
        for call, name, status in cases:
            with pytest.raises(ActorCallError) as caught:
                call()
            assert (caught.value.name, caught.value.status) == (name, status)


def test_calls_under_one_key_have_one_effect(probe_host: StartHost) -> None:
    with Client(probe_host().url) as client:
        account = client.actor("Probe", "once")
        assert [account.once("order-17").increment(), account.once("order-17").increment()] == [1, 1]
        assert account.increment() == 2
        with pytest.raises(ActorCallError, match="IdempotencyConflictError"):
            account.once("order-17").increment(by=3)


def test_calls_beside_a_workers_deaths_have_one_effect_each(start_probe_host: StartHost) -> None:
    host, calls = start_probe_host(), 60
    with Client(host.url, retries=8) as client:
        done: list[Any] = []

        def call() -> None:
            done.extend(client.actor("Probe", "deaths").increment() for _ in range(calls // 4))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for each in threads:
            each.start()
        for _ in range(2):
            host.kill("worker")
            client.actor("Probe", "other").increment()  # its successor is there
        for each in threads:
            each.join()
        assert sorted(done) == list(range(1, calls + 1))
        assert client.actor("Probe", "deaths").get("n") == calls


def test_calls_from_a_loop_run_side_by_side(probe_host: StartHost) -> None:
    async def call() -> list[Any]:
        async with AsyncClient(probe_host().url) as client:
            return await asyncio.gather(*[client.actor("Probe", f"loop-{n}").increment(by=n) for n in range(20)])

    assert asyncio.run(call()) == list(range(20))


def test_a_host_that_is_not_there_is_named(probe_host: StartHost) -> None:
    with (
        Client("http://127.0.0.1:9", retries=0) as client,
        pytest.raises(HostUnreachableError, match="nothing was done"),
    ):
        client.actor("Probe", "x").get("a")


def test_the_token_is_sent(start_probe_host: StartHost) -> None:
    host = start_probe_host(HOLDFAST_TOKEN="token-of-twenty-characters")
    with Client(host.url, "token-of-twenty-characters") as client:
        assert client.actor("Probe", "t").increment() == 1
    with Client(host.url, "another-token-of-twenty") as client, pytest.raises(ActorCallError, match="Unauthorized"):
        client.actor("Probe", "t").increment()


def test_typed_classes_are_written_from_what_a_host_has(probe_host: StartHost, tmp_path: Path) -> None:
    host, target = probe_host(), tmp_path / "actors.py"
    command = [HOLDFAST, "types", "--client", str(target), "--host", host.url, "--type"]
    done = subprocess.run([*command, "Probe"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"Types are written: {target}\n"), done.stderr
    module = ModuleType("actors")
    exec(compile(target.read_text(), str(target), "exec"), module.__dict__)
    assert "Fragile" not in module.__dict__
    with Client(host.url) as client:
        assert client.actor(module.Probe, "typed").increment(by=2) == 2

    done = subprocess.run([*command, "Absent"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "has no actor type 'Absent': it has Fragile, Probe" in done.stderr
