"""What a new version may not take away, and how a renamed class keeps its instances."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_host.core.errors import (
    BreakingChangeError,
    InvalidComponentError,
    InvalidManifestError,
    TypeOwnedError,
    UnknownVersionError,
)
from holdfast_host.wire.control.operations import PreviewRollback
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text

WALLET = component_text("Wallet", methods=("deposit", "debit"))
BOTH = component_text("Wallet", "Ledger", methods=("deposit", "debit"))
READER = manifest_text("reader", ("READONLY", "Wallet"))
RENAMED = component_text("Account", methods=("deposit", "debit"))


def renamed(new: str, old: str, function: str = "wallet", *others: tuple[str, str]) -> str:
    """A manifest that says that a class was renamed."""
    text = manifest_text(function, ("BINDING", new), *others)
    return text.replace(f'type = "{new}"', f'type = "{new}"\nrenamed_from = "{old}"')


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DeployBench]:
    made = DeployBench(tmp_path)
    made.deploy("wallet", WALLET)
    yield made
    made.registry.close()


def test_a_version_that_drops_or_renames_methods_is_refused_with_all_of_them(bench: DeployBench) -> None:
    with pytest.raises(BreakingChangeError, match=r"Wallet\.deposit is gone; the method Wallet\.debit is gone"):
        bench.deploy("wallet", component_text("Wallet", methods=("pay_in",)))

    assert bench.show("wallet")["version"] == 1
    bench.deploy("wallet", component_text("Wallet", methods=("pay_in",)), allow_breaking=True)
    assert bench.show("wallet")["version"] == 2


def test_a_version_that_adds_methods_and_types_breaks_nothing(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", "Ledger", methods=("deposit", "debit", "balance")))

    assert bench.show("wallet")["version"] == 2


def test_a_type_that_has_instances_is_dropped_only_on_request_and_stays_reserved(bench: DeployBench) -> None:
    bench.deploy("wallet", BOTH)
    bench.rollout.instances = {bench.type_id("Ledger")}
    with pytest.raises(BreakingChangeError, match="Ledger, which has instances, is gone"):
        bench.deploy("wallet", WALLET, manifest_text("wallet", ("WALLET", "Wallet")))

    number = bench.type_id("Ledger")
    bench.deploy("wallet", WALLET, allow_breaking=True)
    bench.deploy("wallet", BOTH)
    assert bench.type_id("Ledger") == number


def test_a_type_that_nobody_has_used_may_go(bench: DeployBench) -> None:
    bench.deploy("wallet", BOTH)

    bench.deploy("wallet", WALLET)
    assert bench.show("wallet")["version"] == 3


def test_a_renamed_class_keeps_its_number_and_frees_its_old_name(bench: DeployBench) -> None:
    number = bench.type_id("Wallet")
    bench.rollout.instances = {number}
    with pytest.raises(BreakingChangeError, match='renamed_from = "Wallet"'):
        bench.deploy("wallet", RENAMED)

    bench.deploy("wallet", RENAMED, renamed("Account", "Wallet"))

    assert bench.type_id("Account") == number
    assert [each.type_id for each in bench.rollout.runs["wallet"].types] == [number]
    assert bench.registry.type_named("default", "Wallet") is None
    bench.deploy("another", component_text("Wallet"))
    assert bench.type_id("Wallet") != number
    bench.deploy("wallet", component_text("Account", methods=("deposit", "debit", "x")), renamed("Account", "Wallet"))
    assert bench.type_id("Account") == number


def test_a_renamed_class_that_drops_a_method_is_refused_under_its_new_name(bench: DeployBench) -> None:
    with pytest.raises(BreakingChangeError, match=r"Account\.debit is gone"):
        bench.deploy("wallet", component_text("Account"), renamed("Account", "Wallet"))


def test_a_rename_that_would_lead_a_reference_astray_is_refused(bench: DeployBench) -> None:
    bench.deploy("reader", component_text(fetch=True), READER)

    with pytest.raises(BreakingChangeError, match="'reader' refers as READONLY"):
        bench.deploy("wallet", RENAMED, renamed("Account", "Wallet"))


def test_a_rename_from_a_class_that_is_still_bound_is_refused(bench: DeployBench) -> None:
    both = component_text("Account", "Wallet", methods=("deposit", "debit"))
    with pytest.raises(InvalidManifestError, match="Wallet is bound too"):
        bench.deploy("wallet", both, renamed("Account", "Wallet", "wallet", ("WALLET", "Wallet")))


def test_a_rename_into_a_class_that_has_instances_of_its_own_is_refused(bench: DeployBench) -> None:
    bench.deploy("wallet", RENAMED)
    bench.rollout.instances = {bench.type_id("Wallet"), bench.type_id("Account")}
    with pytest.raises(InvalidManifestError, match="Account has instances of its own"):
        bench.deploy("wallet", RENAMED, renamed("Account", "Wallet"))

    wallet = bench.type_id("Wallet")
    bench.rollout.instances = {wallet}
    bench.deploy("wallet", RENAMED, renamed("Account", "Wallet"))
    assert bench.type_id("Account") == wallet


def test_a_rename_from_another_functions_type_needs_its_adoption(bench: DeployBench) -> None:
    number = bench.type_id("Wallet")
    asyncio.run(bench.deploys.delete("wallet"))
    manifest = renamed("Account", "Wallet", "bank")
    with pytest.raises(TypeOwnedError, match="reserved"):
        bench.deploy("bank", RENAMED, manifest)

    bench.deploy("bank", RENAMED, manifest, adopt=True)
    assert bench.type_id("Account") == number


def test_a_rollback_takes_a_rename_back(bench: DeployBench) -> None:
    number = bench.type_id("Wallet")
    bench.deploy("wallet", RENAMED, renamed("Account", "Wallet"))
    asyncio.run(bench.deploys.rollback("wallet", None))

    assert bench.type_id("Wallet") == number
    assert bench.registry.type_named("default", "Account") is None
    asyncio.run(bench.deploys.rollback("wallet", 2))
    assert bench.type_id("Account") == number


def test_a_rollback_to_a_name_that_another_function_uses_now_is_refused(bench: DeployBench) -> None:
    bench.deploy("wallet", RENAMED, renamed("Account", "Wallet"))
    bench.deploy("another", component_text("Wallet"))

    with pytest.raises(TypeOwnedError, match="was another one"):
        asyncio.run(bench.deploys.rollback("wallet", 1))
    assert bench.show("wallet")["version"] == 2


def test_a_rollback_that_would_leave_a_reference_without_its_type_is_refused(bench: DeployBench) -> None:
    bench.deploy("wallet", BOTH)
    bench.deploy("reader", component_text(fetch=True), manifest_text("reader", ("LEDGER", "Ledger")))

    with pytest.raises(BreakingChangeError, match="'reader' refers as LEDGER"):
        asyncio.run(bench.deploys.rollback("wallet", 1))


def test_a_version_that_drops_an_alarm_handler_is_refused_while_alarms_wait_for_it(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=["alarm"]))
    bench.rollout.alarms = {bench.type_id("Wallet")}
    deaf = component_text("Wallet", methods=("deposit", "debit"), handlers=[])
    with pytest.raises(BreakingChangeError, match="the alarm handler of Wallet, of which instances have an alarm set"):
        bench.deploy("wallet", deaf)

    bench.rollout.alarms = set()
    bench.deploy("wallet", deaf)
    assert bench.show("wallet")["version"] == 3


def test_a_version_without_socket_message_is_refused_while_websockets_are_open(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=["socket_message"]))
    bench.rollout.websockets = {bench.type_id("Wallet")}

    with pytest.raises(BreakingChangeError, match=r"Wallet\.socket_message, of which WebSockets are open, is gone"):
        bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=[]))
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=[]), allow_breaking=True)
    assert bench.show("wallet")["version"] == 3


def test_a_renamed_class_without_the_handler_is_refused_while_alarms_wait_for_it(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=["alarm"]))
    bench.rollout.instances = bench.rollout.alarms = {bench.type_id("Wallet")}

    deaf = component_text("Account", methods=("deposit", "debit"), handlers=["fetch"])
    with pytest.raises(BreakingChangeError, match="the alarm handler of Account"):
        bench.deploy("wallet", deaf, renamed("Account", "Wallet"))
    bench.deploy("wallet", deaf, renamed("Account", "Wallet"), allow_breaking=True)


def test_alarms_are_looked_for_only_where_a_handler_goes(bench: DeployBench) -> None:
    """All alarms of a host may have to be read for it."""
    for handlers in (["alarm"], ["alarm"], None, ["alarm"], [], []):
        text = component_text("Wallet", methods=("deposit", "debit"), handlers=handlers, remark=str(handlers))
        bench.deploy("wallet", text)

    assert bench.rollout.looked_for_alarms == [{bench.type_id("Wallet")}]


def test_a_version_that_does_not_say_which_handlers_it_had_counts_where_alarms_wait(bench: DeployBench) -> None:
    bench.rollout.alarms = {bench.type_id("Wallet")}

    with pytest.raises(BreakingChangeError, match="the alarm handler of Wallet"):
        bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=[]))


def test_a_version_that_drops_the_fetch_of_an_actor_is_refused_while_another_function_refers_to_it(
    bench: DeployBench,
) -> None:
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=["fetch"]))
    bench.deploy("reader", component_text(fetch=True), READER)
    without = component_text("Wallet", methods=("deposit", "debit"), handlers=[])
    with pytest.raises(BreakingChangeError, match="the fetch handler of Wallet, to which the function 'reader' refers"):
        bench.deploy("wallet", without)

    asyncio.run(bench.deploys.delete("reader"))
    bench.deploy("wallet", without)
    assert bench.show("wallet")["version"] == 3


def test_a_version_that_drops_the_functions_fetch_is_refused(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), fetch=True))
    with pytest.raises(BreakingChangeError, match="the function's fetch handler is gone"):
        bench.deploy("wallet", WALLET)

    bench.deploy("wallet", WALLET, allow_breaking=True)
    assert bench.show("wallet")["version"] == 3


def test_what_a_type_handles_survives_a_restart(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", methods=("deposit", "debit"), handlers=["alarm"]))
    bench.reopen()

    assert [each.handlers for each in bench.registry.catalog().deployments[0].types] == [("alarm",)]


def test_other_sources_run_in_a_development_component_as_a_new_version(bench: DeployBench) -> None:
    bench.deploy("lab", component_text("Thing", development=True))
    sources = component_text("Thing", "Other", methods=("poke",))
    asyncio.run(bench.deploys.reload("lab", sources))

    runs = bench.rollout.runs["lab"]
    assert (runs.version, runs.sources, [each.type for each in runs.types]) == (2, sources, ["Thing", "Other"])
    assert bench.rollout.events[-3:] == ["prepare 2, recorded 1", "switch 2, recorded 2", "publish lab:2 wallet:1"]
    bench.reopen()
    assert bench.registry.catalog().deployments[0].sources == sources


def test_a_component_that_is_deployed_takes_no_sources(bench: DeployBench) -> None:
    with pytest.raises(InvalidComponentError, match="no development component"):
        asyncio.run(bench.deploys.reload("wallet", "{}"))


def test_a_repair_switches_to_a_compiled_file_that_is_whole_again(bench: DeployBench) -> None:
    compiled = Path(bench.rollout.runs["wallet"].compiled)
    compiled.unlink()
    bench.rollout.events.clear()
    asyncio.run(bench.deploys.repair("wallet"))

    assert compiled.exists()
    assert bench.rollout.events == ["prepare 1, recorded 1", "switch 1, recorded 1", "publish wallet:1"]
    asyncio.run(bench.deploys.repair("nobody"))


def preview(bench: DeployBench, version: int | None = None) -> dict[str, object]:
    return asyncio.run(bench.operations.perform(PreviewRollback("default", "wallet", version), bench.stages.append))


def test_a_preview_says_what_a_rollback_breaks_and_changes_nothing(bench: DeployBench) -> None:
    bench.deploy("wallet", component_text("Wallet", "Ledger", methods=("deposit", "debit", "balance")))
    bench.rollout.instances = {bench.type_id("Ledger")}
    shown, events = bench.show("wallet"), list(bench.rollout.events)

    found = preview(bench)

    assert (found["version"], found["refused"]) == (1, None)
    [gone, method] = sorted(map(str, found["breaks"]))  # type: ignore[call-overload]
    assert gone.startswith("the actor type Ledger, which has instances, is gone")
    assert method == "the method Wallet.balance is gone"
    assert (bench.show("wallet"), bench.rollout.events) == (shown, events)


def test_a_preview_says_why_a_rollback_would_be_refused(bench: DeployBench) -> None:
    bench.deploy("wallet", BOTH)
    bench.deploy("reader", component_text("Reader"), manifest_text("reader", ("READER", "Reader"), ("L", "Ledger")))

    refused = str(preview(bench, 1)["refused"])

    assert "Ledger, to which the function 'reader' refers as L, is gone" in refused
    assert preview(bench, 2) == {"version": 2, "breaks": [], "refused": None}


@pytest.mark.parametrize("version", [7, None])
def test_a_preview_of_a_version_that_is_not_kept_is_refused(bench: DeployBench, version: int | None) -> None:
    with pytest.raises(UnknownVersionError, match="kept are 1"):
        preview(bench, version)
