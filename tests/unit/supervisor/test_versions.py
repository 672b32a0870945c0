"""The versions that are kept of a function: rolled back to, compiled again at a start, with their crons."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import (
    HostUnavailableError,
    InvalidManifestError,
    StorageFullError,
    UnknownFunctionError,
    UnknownVersionError,
)
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import FakeCompiled, compile_json, component_text
from tests.unit.supervisor.test_deploys import ACCOUNT, BOUND


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DeployBench]:
    made = DeployBench(tmp_path)
    yield made
    made.registry.close()


def test_a_rollback_runs_the_version_before_and_a_later_deploy_gets_a_new_number(bench: DeployBench) -> None:
    for remark in ("one", "two"):
        bench.deploy("account", component_text("Account", remark=remark), BOUND)
    asyncio.run(bench.deploys.rollback("account", None))

    assert bench.rollout.runs["account"].version == 1
    assert bench.show("account")["version"] == 1
    bench.deploy("account", component_text("Account", remark="three"), BOUND)
    assert bench.show("account")["version"] == 3


def test_a_rollback_to_a_version_that_is_not_kept_is_refused(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)

    with pytest.raises(UnknownVersionError):
        asyncio.run(bench.deploys.rollback("account", None))
    with pytest.raises(UnknownVersionError):
        asyncio.run(bench.deploys.rollback("account", 7))
    with pytest.raises(UnknownFunctionError):
        asyncio.run(bench.deploys.rollback("nobody", 1))


def test_ten_versions_are_kept_with_their_files(bench: DeployBench) -> None:
    for number in range(12):
        bench.deploy("account", component_text("Account", remark=str(number)), BOUND)

    shown = bench.show("account")
    assert [each["version"] for each in shown["versions"]] == list(range(12, 2, -1))  # type: ignore[attr-defined]
    assert len(list(bench.directory.components.iterdir())) == 10
    assert len(list(bench.directory.compiled.iterdir())) == 10


def test_types_that_nothing_ships_any_more_are_listed_while_they_have_instances(bench: DeployBench) -> None:
    bench.deploy("account", component_text("Account", "Ledger", "Empty"))
    bench.deploy("other", component_text("Other"))
    bench.rollout.instances = {bench.type_id(each) for each in ("Account", "Ledger", "Other")}
    assert asyncio.run(bench.deploys.undeployed("default")) == []

    bench.deploy("account", component_text("Account"), allow_breaking=True)
    [ledger] = asyncio.run(bench.deploys.undeployed("default"))
    asyncio.run(bench.deploys.delete("account"))
    left = asyncio.run(bench.deploys.undeployed("default"))

    assert (ledger["type"], ledger["function"]) == ("Ledger", "account")
    assert [each["type"] for each in left] == ["Account", "Ledger"]
    assert {each["func_id"] for each in left} == {ledger["func_id"]}


def test_a_restart_compiles_again_what_the_cache_has_lost(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    compiled = Path(bench.rollout.runs["account"].compiled)
    compiled.unlink()
    bench.reopen()
    assert bench.registry.catalog().deployments == ()
    asyncio.run(bench.shelf.restore())

    assert compiled.exists()
    assert "compiling again" in bench.log.getvalue()
    assert [each.version for each in bench.registry.catalog().deployments] == [1]


def test_a_restart_leaves_out_what_cannot_be_compiled_any_more(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    bench.deploy("other", component_text("Other"))
    Path(bench.rollout.runs["account"].compiled).unlink()
    for path in bench.directory.components.glob(f"{bench.rollout.runs['account'].sha256}.*"):
        path.unlink()
    bench.reopen()
    asyncio.run(bench.shelf.restore())

    assert [each.function for each in bench.registry.catalog().deployments] == ["other"]
    assert bench.show("account")["status"] == "failed"
    assert "deploy 'account' again" in bench.log.getvalue()
    bench.deploy("account", ACCOUNT, BOUND)
    assert bench.show("account")["status"] == "deploy_ok"
    assert len(bench.registry.catalog().deployments) == 2


def test_a_restart_on_a_full_disk_runs_all_but_what_has_to_be_compiled(
    bench: DeployBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is to make room needs the host."""
    bench.deploy("account", ACCOUNT, BOUND)
    bench.deploy("other", component_text("Other"))
    sha256 = bench.rollout.runs["account"].sha256
    Path(bench.rollout.runs["account"].compiled).unlink()
    bench.reopen()

    async def compile_other(component: Path, *given: Any) -> FakeCompiled:
        if component.stem == sha256:
            raise HostUnavailableError("no space left")
        return await compile_json(component, *given)

    def record_nothing(*_given: object) -> None:
        raise StorageFullError("the registry cannot be written; nothing was changed")

    monkeypatch.setattr(bench.shelf, "_compile_component", compile_other)
    monkeypatch.setattr(bench.registry, "commit_failure", record_nothing)
    asyncio.run(bench.shelf.restore())

    assert [each.function for each in bench.registry.catalog().deployments] == ["other"]
    assert "no space left" in bench.log.getvalue()


TIMED = BOUND + '[triggers]\ncrons = ["@daily"]\n'


def crons_of(bench: DeployBench) -> list[tuple[int, tuple[str, ...] | None]]:
    return [(each.type_id, each.crons) for each in bench.rollout.runs["account"].types if each.crons is not None]


def test_crons_of_a_function_that_runs_at_no_times_are_refused(bench: DeployBench) -> None:
    with pytest.raises(InvalidManifestError, match=r"run scheduled\(event, env\), which its component does not have"):
        bench.deploy("account", ACCOUNT, TIMED)


def test_crons_have_a_type_of_their_own_which_stays_when_they_go(bench: DeployBench) -> None:
    """Whoever runs it learns so that there are none any more; and its number is the function's for ever."""
    component = component_text("Account", scheduled=True)
    bench.deploy("account", component, BOUND)
    assert crons_of(bench) == []

    bench.deploy("account", component, TIMED)
    [(number, crons)] = crons_of(bench)
    assert crons == ("@daily",)
    bench.deploy("account", component, BOUND)
    assert crons_of(bench) == [(number, ())]
    bench.reopen()
    assert [each.crons for each in bench.registry.current()[0].types] == [None, ()]


def test_a_rollback_to_a_version_from_before_the_crons_takes_them_away(bench: DeployBench) -> None:
    """As a deploy of its manifest would: what its worker is told to keep is nothing, also at its next start."""
    component = component_text("Account", scheduled=True)
    bench.deploy("account", component, BOUND)
    bench.deploy("account", component, TIMED)
    [(number, _)] = crons_of(bench)

    asyncio.run(bench.deploys.rollback("account", None))
    assert crons_of(bench) == [(number, ())]
    bench.reopen()
    assert [(each.type_id, each.crons) for each in bench.registry.current()[0].types][1:] == [(number, ())]
    asyncio.run(bench.deploys.rollback("account", 2))
    assert crons_of(bench) == [(number, ("@daily",))]
