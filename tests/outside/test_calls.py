"""Calls between actors on a real host."""

from __future__ import annotations

from pathlib import Path

from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess


def test_calls_nest_sixteen_deep_each_with_much_of_its_guests_stack_in_use(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host, host.caller() as caller:
        deploy(host, components.built(components.PROJECT / "tests" / "harness" / "guests" / "chain"))
        names = [f"n{number}" for number in range(17)]

        assert caller.value("Link", "top", "dig", names[:16]) == 16
        assert "the limit is 16" in str(caller.call("Link", "top", "dig", names))
        assert caller.value("Link", "top", "pull", names[:16]) == dict.fromkeys(["top", *names[:16]], 1)
