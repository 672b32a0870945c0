"""A host under PYTHONOPTIMIZE=1, which leaves assertions out: it holds what it held with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.hostile import wat
from tests.hostile.cases import deploy_bare

pytestmark = pytest.mark.slow


def test_a_host_and_its_children_are_right_without_assertions(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2, PYTHONOPTIMIZE="1")
    pids = host.pids()
    for pid in (pid for role in pids.values() for pid in role):
        assert b"PYTHONOPTIMIZE=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    deploy(host, components.built(components.ACCOUNT))
    with host.caller() as caller:
        refused = deploy_bare(caller, "deadly", wat.component("two_exports"))
        assert (refused.status, refused.error) == (422, "InvalidComponentError")
        assert caller.value("Account", "alice", "deposit", 5) == {"balance": 5}
        for name in ("alice", "bob", "carol", "dave"):
            assert [caller.value("Probe", name, "increment") for _ in range(3)] == [1, 2, 3]
            assert caller.call("Probe", name, "put_then_raise", "n", 9).error == "ActorMethodError"
            assert caller.call("Probe", name, "put_then_trap", "n", 9).error == "ActorTrapError"
            assert caller.call("Probe", name, "put_big", "long", 1 << 21).status == 500
            assert caller.value("Probe", name, "increment") == 4
        assert caller.request("GET", "/v1/actors").status == 200
        assert caller.request("GET", "/metrics").status == 200
    assert host.pids() == pids
