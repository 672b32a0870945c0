"""One instance as it was at a moment, while its neighbours write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.archives import now_us, until_reached
from tests.harness.caller import Caller
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.meanwhile import Meanwhile


class Neighbours(Meanwhile[str]):
    """Clients that count at instances of their own, until the block ends; every count is acknowledged."""

    def __init__(self, host: HostProcess, names: list[str]) -> None:
        super().__init__(host, names)
        self.counted = dict.fromkeys(names, 0)

    def step(self, caller: Caller, name: str) -> None:
        answer = caller.call("Probe", name, "increment")
        assert answer.status == 200
        self.counted[name] = answer.value


@pytest.mark.slow
def test_an_instance_gets_back_the_keys_of_a_moment_while_its_neighbours_write(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    host = start_probe_host("--archive", str(archive))
    until_reached(archive, 0)
    with host.caller() as caller, Neighbours(host, ["bob", "carol"]) as neighbours:
        for key in ("kept", "changed", "deleted"):
            caller.call("Probe", "alice", "put", key, "then")
        at_us = now_us()
        caller.call("Probe", "alice", "put", "changed", "now")
        caller.call("Probe", "alice", "put", "new", "now")
        assert caller.request("DELETE", "/v1/instances/Probe/alice/storage/deleted").status == 200
        due = b'{"due":%d}' % (at_us // 1_000_000 + 3600)
        assert caller.request("PUT", "/v1/instances/Probe/alice/alarm", due).status == 200
        until_reached(archive, now_us())
        before = dict(neighbours.counted)

        reverted = caller.request("POST", "/v1/instances/Probe/alice/revert", b'{"at":%f}' % (at_us / 1e6))

        assert reverted.status == 200, reverted.text
        assert {key: reverted.value[key] for key in ("put", "deleted", "keys")} == {"put": 2, "deleted": 1, "keys": 3}
        entries = caller.request("GET", "/v1/instances/Probe/alice/storage").value["entries"]
        assert {each["key"]: each["value"] for each in entries} == dict.fromkeys(("kept", "changed", "deleted"), "then")
        assert caller.call("Probe", "alice", "get", "changed").value == "then"
        assert caller.request("GET", "/v1/instances/Probe/alice").value["alarm"]["state"] == "armed"
        assert neighbours.counted != before, "they went on"
        assert not [*(host.data / "backup").iterdir()], "nothing is left of what was read"

        later_us = now_us()
        until_reached(archive, later_us)
        again = caller.request("POST", "/v1/instances/Probe/alice/revert", b'{"at":%f}' % (later_us / 1e6))
        assert again.value["put"] == 0, "it is a turn like any other, and archived"
        early = caller.request("POST", "/v1/instances/Probe/alice/revert", b'{"at":1}')
        assert early.status == 400
        assert "it begins with" in early.value["error"]["message"]
        assert "write a date and time" in caller.request("POST", "/v1/instances/Probe/alice/revert", b'{"at":"x"}').text
    with host.caller() as caller:
        for name, counted in neighbours.counted.items():
            assert caller.call("Probe", name, "get", "n").value == counted, "no neighbour lost anything"


def test_a_host_without_an_archive_reverts_nothing_and_says_so(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        refused = caller.request("POST", "/v1/instances/Probe/alice/revert", b'{"at":1800000000}')
    assert refused.status == 400
    assert "start it with --archive" in refused.text
