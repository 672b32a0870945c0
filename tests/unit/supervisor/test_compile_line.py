"""The line before the compiler: nobody fills it for others, and who hangs up frees a place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import DeployQueueFullError, HostUnavailableError
from holdfast_host.core.limits import Limits
from holdfast_host.supervisor.deploys.compile_queue import COMPILES_MAX, Applicant, CompileQueue
from holdfast_host.supervisor.directory.component_files import component_of
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text


class Stage:
    """A line whose places are all taken; each `apply` is a task that notes its name once it has one."""

    def __init__(self, **limits: Any) -> None:
        self.line = CompileQueue(Limits().replace(**limits))
        self.served: list[str] = []
        self.waits = 0
        self.over = asyncio.Event()

    async def __aenter__(self) -> Stage:
        self._holding = [asyncio.create_task(self._hold()) for _ in range(COMPILES_MAX)]
        await settle()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.over.set()
        await asyncio.gather(*self._holding)

    async def _hold(self) -> None:
        async with self.line.place(self._note_wait, None, first=False):
            await self.over.wait()

    def _note_wait(self) -> None:
        self.waits += 1

    async def apply(self, name: str, client: str | None, *, first: bool = False) -> asyncio.Task[None]:
        """Stand in line, as that client or as the host itself."""
        return await self.stand(name, None if client is None else Applicant(client), first=first)

    async def stand(self, name: str, applicant: Applicant | None, *, first: bool = False) -> asyncio.Task[None]:
        """The same, as this applicant."""

        async def take() -> None:
            async with self.line.place(self._note_wait, applicant, first=first):
                self.served.append(name)
                await settle()

        task = asyncio.create_task(take())
        await settle()
        return task


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def play(body: Callable[[Stage], Coroutine[Any, Any, None]], **limits: Any) -> Stage:
    """Play with a stage; at the end its places become free, and everybody in line is served."""

    async def run() -> Stage:
        async with Stage(**limits) as stage:
            await body(stage)
        while stage.line.waiting:  # noqa: ASYNC110 the line has no event for its end
            await asyncio.sleep(0)
        await settle()
        return stage

    return asyncio.run(run())


def test_a_client_with_many_deploys_holds_up_the_one_of_another_by_one_turn() -> None:
    async def body(stage: Stage) -> None:
        for number in range(6):
            await stage.apply(f"a{number}", "a")
        await stage.apply("b0", "b")
        await stage.apply("b1", "b")
        await stage.apply("c0", "c")

    assert play(body).served == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4", "a5"]


def test_new_versions_do_not_wait_behind_a_flood_of_new_names_from_the_same_address() -> None:
    async def body(stage: Stage) -> None:
        for number in range(4):
            await stage.apply(f"new{number}", "proxy", first=True)
        await stage.apply("version", "proxy")

    assert play(body).served == ["new0", "version", "new1", "new2", "new3"]


@pytest.mark.limit("client_deploys_waiting_max")
def test_a_client_may_have_so_many_deploys_in_line_and_others_still_get_in() -> None:
    async def body(stage: Stage) -> None:
        for number in range(3):
            await stage.apply(f"a{number}", "a", first=True)
        with pytest.raises(DeployQueueFullError, match="3 first deploys from a wait"):
            await (await stage.apply("a3", "a", first=True))
        await stage.apply("a's version", "a")
        await stage.apply("b0", "b", first=True)
        assert stage.line.waiting == 5

    assert sorted(play(body, client_deploys_waiting_max=3).served) == ["a's version", "a0", "a1", "a2", "b0"]


@pytest.mark.limit("deploys_waiting_max")
def test_the_line_holds_so_many_deploys_of_all_clients_and_always_the_hosts_own() -> None:
    async def body(stage: Stage) -> None:
        for number in range(3):
            await stage.apply(f"{number}", f"client {number}")
        with pytest.raises(DeployQueueFullError, match="3 deploys wait"):
            await (await stage.apply("3", "client 3"))
        await stage.apply("own", None)

    assert play(body, deploys_waiting_max=3).served == ["own", "0", "1", "2"]


def test_a_client_that_hangs_up_while_it_waits_frees_its_place() -> None:
    async def body(stage: Stage) -> None:
        applicant = Applicant("a")
        left = await stage.stand("left", applicant)
        applicant.gone.set()
        with pytest.raises(HostUnavailableError, match="hung up"):
            await left
        assert stage.line.waiting == 0
        await stage.apply("stays", "a")

    assert play(body, deploys_waiting_max=1).served == ["stays"]


def test_a_place_that_is_given_to_one_who_is_cancelled_goes_to_the_next() -> None:
    async def body(stage: Stage) -> None:
        cancelled = await stage.apply("cancelled", "a")
        stage.over.set()
        await asyncio.sleep(0)
        while stage.line.waiting:  # noqa: ASYNC110 then the place is given, its taker has not run yet
            await asyncio.sleep(0)
        cancelled.cancel()
        await settle()
        await stage.apply("next", "b")
        await stage.apply("and next", "b")

    served = play(body).served
    assert [name for name in served if name != "cancelled"] == ["next", "and next"]


def test_a_deploy_that_finds_no_place_or_is_given_up_changes_nothing_and_is_no_failure(tmp_path: Path) -> None:
    bench = DeployBench(tmp_path, Limits(deploys_waiting_max=1))
    bench.deploy("account", component_text("Account"))
    before = bench.files()

    async def run() -> None:
        gate = bench.folder / "gate"
        running = [
            asyncio.create_task(
                bench.deploys.deploy(bench.request(name, component_text(name.upper(), gate=gate)), bench.stages.append)
            )
            for name in ("one", "two")
        ]
        while bench.stages.count("checking") < 3:  # noqa: ASYNC110 a list has no event
            await asyncio.sleep(0)
        waiting = bench.request("account", component_text("Account", remark="given up"))
        given_up = asyncio.create_task(bench.deploys.deploy(waiting, bench.stages.append))
        while "queued" not in bench.stages:  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(DeployQueueFullError, match="deploy again later"):
            await bench.deploys.deploy(bench.request("three", component_text("Three")), bench.stages.append)
        waiting.applicant.gone.set()
        with pytest.raises(HostUnavailableError, match="hung up"):
            await given_up
        # By their hashes: one that is packed just now lies there twice.
        on_the_shelf = {component_of(Path(each)) for each in bench.files() if each.startswith("components/")}
        assert len(on_the_shelf) == 3  # the one that runs, the two that compile: no flood keeps what it left
        await bench.deploys.deploy(bench.request("account", component_text("Account")), bench.stages.append)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(run())
    assert bench.show("account")["status"] == "deploy_ok"
    assert bench.show("account")["version"] == 1
    assert bench.files() == before
    bench.registry.close()
