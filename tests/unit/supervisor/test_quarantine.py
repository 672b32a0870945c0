"""The record of those that kill workers: what the disk refuses does not change it, and how it is listed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.crashes.attribution import CrashAttribution
from holdfast_host.supervisor.crashes.quarantine import DEATHS_MAX, VERSION_DEATHS_MAX, Quarantine
from holdfast_host.wire.pages.running_turns_page import FUNCTION
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text

DEADLY = (1, b"deadly")


def version_of(_instance: object) -> tuple[str, int] | None:
    return "f", 1


def test_a_release_that_cannot_be_recorded_releases_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine = Quarantine.open(tmp_path / "quarantine.json")
    for _ in range(int(DEATHS_MAX)):
        quarantine.blame([DEADLY], version_of)

    def refuse(directory: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("holdfast_host.core.durable_files.sync_directory", refuse)
        with pytest.raises(OSError, match="No space left"):
            quarantine.release(DEADLY)

    assert list(quarantine.listed(version_of)) == [DEADLY]
    assert quarantine.release(DEADLY)
    assert list(quarantine.listed(version_of)) == []


def test_all_of_a_version_is_kept_away_from_workers_and_shown_as_one_row(tmp_path: Path) -> None:
    bench = DeployBench(tmp_path)
    bench.deploy("shop", component_text("Cart", "Zebra", fetch=True))
    bench.deploy("bank", component_text("Account"))
    cart = bench.type_id("Cart")
    quarantine = Quarantine.open(bench.directory.registry.with_name("quarantine.json"))
    attribution = CrashAttribution(quarantine, bench.registry, 0, EventLog("debug", bench.log))
    for number in range(int(VERSION_DEATHS_MAX)):
        quarantine.blame([(cart, b"%d" % number)], lambda _: ("shop", 1))
    for _ in range(int(DEATHS_MAX)):
        quarantine.blame([(FUNCTION, b"shop")], lambda _: ("shop", 1))
    page = attribution.show("default", ("", ""), 10)

    assert sorted(attribution.quarantined()) == sorted([(FUNCTION, "shop"), (cart, ""), (bench.type_id("Zebra"), "")])
    assert [(each["function"], each["type"], each["name"], each["what"]) for each in page["rows"]] == [
        ("shop", None, None, "version")
    ]
    assert attribution.measures() == {"instance": 0, "function": 1}
    assert asyncio.run(attribution.release_function("shop", [])) == {"released": True}
    assert attribution.quarantined() == []
    bench.registry.close()


def test_functions_then_instances_are_listed_in_order_page_by_page(tmp_path: Path) -> None:
    bench = DeployBench(tmp_path)
    for function, types in (("shop", ("Cart", "Zebra")), ("bank", ("Account",))):
        bench.deploy(function, component_text(*types, fetch=True))
    ids = {each: bench.type_id(each) for each in ("Account", "Cart", "Zebra")}
    names = [b"a/b", b"b", "é".encode()]
    caught = [(ids[each], name) for each in ("Zebra", "Cart", "Account") for name in names]
    caught += [(FUNCTION, b"shop"), (FUNCTION, b"bank")]
    quarantine = Quarantine.open(bench.directory.registry.with_name("quarantine.json"))
    for _ in range(int(DEATHS_MAX)):
        for instance in caught:
            quarantine.blame([instance], lambda _: ("", 1))
    quarantine.blame([(ids["Cart"], b"died once")], lambda _: ("", 1))
    bench.deploy("bank", component_text("Account", fetch=True, remark="another version"))
    attribution = CrashAttribution(quarantine, bench.registry, 0, EventLog("debug", bench.log))

    found: list[dict[str, Any]] = []
    after, more = ("", ""), True
    while more:
        page = attribution.show("default", after, 2)
        found, more = found + page["rows"], page["more"]
        assert len(page["rows"]) == (2 if more else 1)
        after = (found[-1]["type"] or "", found[-1]["name"] or found[-1]["function"])

    shown = [(each["function"], each["type"], each["name"], each["version"]) for each in found]
    expected = [("shop", each, name.decode(), 1) for each in ("Cart", "Zebra") for name in names]
    assert shown == [("shop", None, None, 1), *expected]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", found[0]["died_at"])
    bench.registry.close()
