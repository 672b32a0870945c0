"""A component written by hand against `wit/` alone."""

from __future__ import annotations

from pathlib import Path

from tests.unit.guest.plain_host import PlainHost, component_of, quick_engine

KEPT = Path(__file__).parents[2] / "fixtures" / "components"


def test_a_component_in_no_language_but_webassembly_keeps_the_contract() -> None:
    host = PlainHost(quick_engine(), component_of(KEPT / "counter.wat"))
    sandbox = host.sandbox("Counter", "c")

    counted = [sandbox.call("increment", '{"ignored":"' + "x" * 100_000 + '"}') for _ in range(12)]

    assert counted == list(range(1, 13))
    assert host.sandbox("Counter", "c").call("value") == 12
    assert host.storage.values == {"count": "12"}
    assert host.log.lines == [("info", "incremented")] * 12
    assert sandbox.call("nope")["name"] == "ActorUnknownMethodError"
    assert sandbox.describe()["actors"][0]["type"] == "Counter"


def test_a_component_in_no_language_but_webassembly_passes_on_the_hosts_errors() -> None:
    host = PlainHost(quick_engine(), component_of(KEPT / "counter.wat"))
    host.storage.put_fails_at = "count"

    assert host.sandbox("Counter", "c").call("increment")["name"] == "LimitError"
