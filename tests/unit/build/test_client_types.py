"""The typed classes that `holdfast types --client` writes: checked by mypy, and used on actors."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from holdfast import StatefulActor
from holdfast.testing import LocalHost
from holdfast_host.build.bindings import BoundType
from holdfast_host.build.client_types import render_clients


class Account(StatefulActor):
    def deposit(self, amount: int) -> int:
        balance: int = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return balance


DESCRIBED = {
    "type": "Account",
    "methods": [
        {"name": "deposit", "signature": "(amount: int) -> int", "doc": "Add funds.\n\nMore."},
        {"name": "since", "signature": "() -> datetime", "doc": ""},
    ],
}
TEXT = render_clients([BoundType.of("", DESCRIBED)])


@pytest.fixture(scope="module")
def actors() -> ModuleType:
    module = ModuleType("actors")
    exec(compile(TEXT, "actors.py", "exec"), module.__dict__)
    return module


def test_a_typed_class_calls_as_the_untyped_one_does(actors: ModuleType) -> None:
    host = LocalHost({"ACCOUNT": Account})
    with host.client() as client:
        assert client.actor(actors.Account, "alice").deposit(5) == 5
        assert client.actor(actors.Account, "alice").once("k").deposit(amount=1) == 6
        assert client.actor("Account", "alice").once("k").deposit(amount=1) == 6


def test_a_typed_class_for_a_loop_is_awaited(actors: ModuleType) -> None:
    host = LocalHost({"ACCOUNT": Account})

    async def call() -> int:
        async with host.async_client() as client:
            balance: int = await client.actor(actors.AsyncAccount, "alice").deposit(5)
            return balance

    assert asyncio.run(call()) == 5


USES = """
from actors import Account, AsyncAccount
from holdfast.client import AsyncClient, Client

client = Client()
reveal_type(client.actor(Account, "a").once("k").deposit(5))
client.actor(Account, "a").deposit("5")
client.actor(Account, "a").withdraw(5)

async def call(client: AsyncClient) -> None:
    reveal_type(await client.actor(AsyncAccount, "a").since())
"""


@pytest.mark.slow
def test_a_type_checker_finds_what_is_wrong_with_a_call(tmp_path: Path) -> None:
    (tmp_path / "actors.py").write_text(TEXT)
    (tmp_path / "uses.py").write_text(USES)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "uses.py", "actors.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("Found")]
    assert [line.split(": ", 2)[2].partition("  [")[0] for line in lines] == [
        'Revealed type is "int"',
        'Argument 1 to "deposit" of "Account" has incompatible type "str"; expected "int"',
        '"object" not callable',
        'Revealed type is "datetime.datetime"',
    ], done.stdout + done.stderr


def test_what_is_no_name_in_python_is_left_out() -> None:
    odd = {"type": "Odd", "methods": [{"name": 'x"); import os', "signature": "", "doc": ""}]}
    assert "import os" not in render_clients([BoundType.of("", odd)])


def test_a_type_that_is_called_as_something_else_has_a_class_of_its_own() -> None:
    names = ["Account", "AsyncAccount", "Decimal", "list", "RemoteActor"]
    methods = [{"name": "pay", "signature": "(amount: Decimal) -> list[int]", "doc": ""}]
    text = render_clients([BoundType.of("", {"type": name, "methods": methods}) for name in names])
    module = ModuleType("actors")
    exec(compile(text, "actors.py", "exec"), module.__dict__)

    found = {name: each.TYPE for name, each in vars(module).items() if getattr(each, "TYPE", "")}
    assert found == {
        "Account": "Account", "AsyncAccount": "AsyncAccount", "Decimal_": "Decimal", "list_": "list",
        "RemoteActor_": "RemoteActor", "AsyncAccount_": "Account", "AsyncAsyncAccount": "AsyncAccount",
        "AsyncDecimal": "Decimal", "Asynclist": "list", "AsyncRemoteActor_": "RemoteActor",
    }  # fmt: skip
