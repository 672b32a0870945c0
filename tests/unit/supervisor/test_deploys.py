"""What a deploy does, and that one that fails does nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.durable_files import cut_durably
from holdfast_host.core.errors import (
    DeployConflictError,
    HostUnavailableError,
    InvalidComponentError,
    InvalidManifestError,
    InvalidNameError,
    StorageFullError,
    UnknownFunctionError,
)
from holdfast_host.supervisor.deploys.compile_queue import COMPILES_MAX
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text

ACCOUNT = component_text("Account")
BOUND = manifest_text("account", ("ACCOUNT", "Account"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DeployBench]:
    made = DeployBench(tmp_path)
    yield made
    made.registry.close()


def test_a_version_is_prepared_then_recorded_then_switched_then_published(bench: DeployBench) -> None:
    assert bench.deploy("account", ACCOUNT, BOUND)

    assert bench.rollout.events == [
        "prepare 1, recorded None",
        "switch 1, recorded 1",
        "publish account:1",
    ]
    assert bench.stages == ["checking", "compiling", "loading", "switching"]


def test_a_new_version_of_a_function_is_not_a_new_function(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)

    assert not bench.deploy("account", component_text("Account", remark="two"), BOUND)
    shown = bench.show("account")
    assert shown["version"] == 2
    assert [each["version"] for each in shown["versions"]] == [2, 1]  # type: ignore[attr-defined]


def test_versions_of_the_same_bytes_share_their_files_and_each_says_what_it_takes(bench: DeployBench) -> None:
    other = component_text("Account", remark="two")
    for component in (ACCOUNT, other, ACCOUNT):
        bench.deploy("account", component, BOUND)
    on_disk = [path for folder in ("components", "compiled") for path in (bench.folder / folder).glob("*.*wasm*")]
    for path in on_disk:
        cut_durably(path, path.stat().st_size)  # only of what is on disk it is sure what it takes
    shown: Any = bench.show("account")

    sizes = {each["version"]: each["disk_bytes"] for each in shown["versions"]}
    assert len(on_disk) == 4  # of three versions
    assert sizes[3] == sizes[1] > 0
    assert shown["disk_bytes"] == sizes[1] + sizes[2] == sum(path.stat().st_blocks * 512 for path in on_disk)


def test_the_same_bytes_and_manifest_switch_nothing(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    func_id = str(bench.show("account")["func_id"])
    bench.rollout.events.clear()

    assert not bench.deploy("account", ACCOUNT, "# a comment\n" + BOUND)
    assert not bench.deploy("account", ACCOUNT, manifest_text("account", ("ACCOUNT", "Account"), func_id=func_id))
    assert bench.rollout.events == []
    assert bench.show("account")["version"] == 1


def test_the_same_bytes_with_another_manifest_are_a_new_version(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    bench.deploy("account", ACCOUNT, BOUND + '[vars]\nGREETING = "hello"\n')

    assert bench.rollout.runs["account"].version == 2
    assert bench.rollout.runs["account"].variables == {"GREETING": "hello"}


def test_a_bare_component_binds_every_class_under_its_upper_snake_name(bench: DeployBench) -> None:
    bench.deploy("shop", component_text("ShoppingCart", "HTTPRoom"))

    assert bench.show("shop")["actors"] == [
        {"binding": "SHOPPING_CART", "type": "ShoppingCart", "owner": True},
        {"binding": "HTTP_ROOM", "type": "HTTPRoom", "owner": True},
    ]


def test_limits_of_the_manifest_reach_the_workers(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND + "[limits]\nmemory_mib = 32\nmethod_s = 5\n")

    deployment = bench.rollout.runs["account"]
    assert (deployment.memory_bytes_max, deployment.method_timeout_s) == (32 << 20, 5.0)


@pytest.mark.parametrize(
    ("component", "manifest", "error"),
    [
        ('{"refuse": "no magic bytes"}', BOUND, InvalidComponentError),
        (component_text("Account", "Bad__Name"), BOUND, InvalidComponentError),
        (component_text("A" * 33), BOUND, InvalidComponentError),
        (component_text(), manifest_text("account"), InvalidComponentError),
        (ACCOUNT, manifest_text("account"), InvalidManifestError),
        (ACCOUNT, manifest_text("other", ("ACCOUNT", "Account")), InvalidManifestError),
        (ACCOUNT, "name = ", InvalidManifestError),
    ],
)
def test_a_deploy_that_is_refused_changes_nothing_and_says_why(
    bench: DeployBench, component: str, manifest: str, error: type[Exception]
) -> None:
    bench.deploy("account", component_text("Account", remark="running"), BOUND)
    before, runs = bench.files(), dict(bench.rollout.runs)

    with pytest.raises(error):
        bench.deploy("account", component, manifest)

    assert bench.rollout.runs == runs
    assert bench.show("account")["version"] == 1
    assert bench.files() == before


def test_a_failed_deploy_is_recorded_beside_the_version_that_runs(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    with pytest.raises(InvalidComponentError):
        bench.deploy("account", '{"refuse": "no magic bytes"}', BOUND)
    bench.reopen()

    shown = bench.show("account")
    assert (shown["status"], shown["reason"], shown["version"]) == (
        "failed",
        "InvalidComponentError: no magic bytes",
        1,
    )
    bench.deploy("account", ACCOUNT, BOUND)
    assert bench.show("account")["status"] == "deploy_ok"


def test_a_first_deploy_that_fails_leaves_its_name_in_the_log_and_no_function_and_no_file(bench: DeployBench) -> None:
    with pytest.raises(InvalidComponentError):
        bench.deploy("account", '{"refuse": "no magic bytes"}', BOUND)

    assert "deploy failed function=account" in bench.log.getvalue()
    assert bench.files() == set()
    with pytest.raises(UnknownFunctionError):
        bench.show("account")


def test_a_worker_that_cannot_load_it_calls_the_deploy_off(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    before = bench.files()
    bench.rollout.refusal = HostUnavailableError("worker 0 ended")
    with pytest.raises(HostUnavailableError):
        bench.deploy("account", component_text("Account", "Audit"))

    assert bench.rollout.runs["account"].version == 1
    assert bench.registry.type_named("default", "Audit") is None
    assert bench.files() == before


def test_a_registry_on_a_full_disk_calls_the_deploy_off(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)
    pages = bench.registry._db.execute("PRAGMA page_count").fetchone()[0]
    bench.registry._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError):
        bench.deploy("account", component_text("Account", remark="x" * 100_000), BOUND)
    bench.registry._db.execute("PRAGMA max_page_count = 100000")

    assert bench.rollout.runs["account"].version == 1
    assert bench.show("account")["version"] == 1
    bench.deploy("account", component_text("Account", remark="x" * 100_000), BOUND)
    assert bench.show("account")["version"] == 2


def test_a_version_number_that_failed_is_given_to_the_next_one(bench: DeployBench) -> None:
    bench.rollout.refusal = HostUnavailableError("worker 0 ended")
    with pytest.raises(HostUnavailableError):
        bench.deploy("account", ACCOUNT, BOUND)
    bench.rollout.refusal = None

    assert bench.deploy("account", ACCOUNT, BOUND)
    assert bench.show("account")["version"] == 1


def test_two_changes_of_one_function_at_a_time_are_refused(bench: DeployBench) -> None:
    async def both() -> tuple[bool | BaseException, bool | BaseException]:
        slow = bench.request("account", component_text("Account", compile_s=0.05))
        return await asyncio.gather(
            bench.deploys.deploy(slow, bench.stages.append),
            bench.deploys.deploy(bench.request("account", ACCOUNT), bench.stages.append),
            return_exceptions=True,
        )

    first, second = asyncio.run(both())

    assert first is True
    assert isinstance(second, DeployConflictError)
    assert not list(bench.directory.uploads.iterdir())


def test_changes_of_two_functions_come_one_after_the_other(bench: DeployBench) -> None:
    async def both() -> tuple[bool, bool]:
        return await asyncio.gather(
            bench.deploys.deploy(bench.request("one", component_text("One", compile_s=0.05)), bench.stages.append),
            bench.deploys.deploy(bench.request("two", component_text("Two")), bench.stages.append),
        )

    assert list(asyncio.run(both())) == [True, True]
    assert bench.type_id("One") != bench.type_id("Two")


def test_a_component_that_compiles_for_long_holds_up_no_other_deploy(bench: DeployBench) -> None:
    """It has a place of its own meanwhile, and the other's end sweeps nothing away that it needs."""

    async def play() -> list[str]:
        ended: list[str] = []

        async def deploy(function: str, component: str) -> None:
            assert await bench.deploys.deploy(bench.request(function, component), bench.stages.append)
            ended.append(function)

        gate = bench.folder / "gate"
        bomb = asyncio.create_task(deploy("slow", component_text("Slow", gate=gate)))
        await asyncio.wait_for(deploy("good", component_text("Good")), 10)
        gate.touch()
        await bomb
        return ended

    assert asyncio.run(play()) == ["good", "slow"]
    assert len([name for name in bench.files() if name.startswith("components/")]) == 2


def test_so_many_components_compile_at_once_and_others_wait_their_turn(bench: DeployBench) -> None:
    async def play() -> None:
        gate = bench.folder / "gate"
        names = [f"f{number}" for number in range(COMPILES_MAX + 1)]
        deploys = [
            asyncio.create_task(
                bench.deploys.deploy(bench.request(name, component_text(name.upper(), gate=gate)), bench.stages.append)
            )
            for name in names
        ]
        while "queued" not in bench.stages or bench.stages.count("checking") < COMPILES_MAX:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert bench.stages.count("checking") == COMPILES_MAX
        gate.touch()
        assert await asyncio.gather(*deploys) == [True] * len(names)

    asyncio.run(play())
    assert bench.stages.count("checking") == COMPILES_MAX + 1


def test_a_func_id_that_another_name_took_while_it_compiled_is_refused(bench: DeployBench) -> None:
    async def play() -> BaseException | bool:
        gate = bench.folder / "gate"
        manifest = manifest_text("one", ("ONE", "One"), func_id="fn_1")
        slow = bench.request("one", component_text("One", gate=gate), manifest)
        first = asyncio.create_task(bench.deploys.deploy(slow, bench.stages.append))
        quick = bench.request("two", component_text("Two"), manifest_text("two", ("TWO", "Two"), func_id="fn_1"))
        assert await bench.deploys.deploy(quick, bench.stages.append)
        gate.touch()
        [outcome] = await asyncio.gather(first, return_exceptions=True)
        return outcome

    assert isinstance(asyncio.run(play()), DeployConflictError)


def test_a_function_name_that_breaks_the_rule_is_refused(bench: DeployBench) -> None:
    with pytest.raises(InvalidNameError):
        bench.deploy("Account_1", ACCOUNT)

    assert bench.files() == set()


def test_the_func_id_of_the_manifest_is_adopted_by_a_host_that_does_not_know_it(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, manifest_text("account", ("ACCOUNT", "Account"), func_id="fn_mine"))

    assert bench.show("account")["func_id"] == "fn_mine"


def test_another_func_id_under_a_deployed_name_is_refused(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, BOUND)

    with pytest.raises(DeployConflictError, match="fn_other"):
        bench.deploy("account", ACCOUNT, manifest_text("account", ("ACCOUNT", "Account"), func_id="fn_other"))
    assert bench.show("account")["status"] == "deploy_ok"


def test_a_deployed_func_id_under_another_name_is_refused(bench: DeployBench) -> None:
    bench.deploy("account", ACCOUNT, manifest_text("account", ("ACCOUNT", "Account"), func_id="fn_mine"))

    with pytest.raises(DeployConflictError, match="deployed as 'account'"):
        bench.deploy("wallet", ACCOUNT, manifest_text("wallet", ("ACCOUNT", "Account"), func_id="fn_mine"))
