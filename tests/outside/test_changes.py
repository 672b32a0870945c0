"""Committed changes as they come over HTTP and from the command line, and the page that makes a table of them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.test_docs import blocks
from tests.harness.archives import now_us, until_reached
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess


def test_what_is_committed_comes_in_order_and_goes_on_from_a_position(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    host = start_probe_host("--archive", str(archive))
    with host.caller() as caller:
        for number in range(5):
            caller.call("Probe", "alice", "put", "k", number)
        until_reached(archive, now_us())
        lines = [json.loads(line) for line in caller.request("GET", "/v1/changes?type=Probe").text.splitlines()]
        put = [line for line in lines if "gap" not in line]
        assert [line["put"] for line in put] == [{"k": number} for number in range(5)]
        assert {(line["type"], line["name"]) for line in put} == {("Probe", "alice")}
        later = caller.request("GET", f"/v1/changes?type=Probe&after={put[2]['position']}&limit=1").text
        assert [json.loads(line)["put"] for line in later.splitlines()] == [{"k": 3}]
        [now] = caller.request("GET", "/v1/changes?after=now").text.splitlines()
        behind = caller.request("GET", f"/v1/changes?after={json.loads(now)['position']}")
        assert (list(json.loads(now)), behind.status, behind.text) == (["position"], 200, "")
        assert caller.request("GET", "/v1/changes?after=x").error == "BadRequestError"
    words = [HOLDFAST, "changes", "--type", "Probe", "--after", put[3]["position"], "--host", host.url]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Probe/alice" in done.stdout
    assert "k = 4" in done.stdout


def test_a_host_without_an_archive_says_so(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        refused = caller.request("GET", "/v1/changes")
    assert refused.status == 404
    assert "start it with --archive" in refused.text


@pytest.mark.slow
def test_the_projection_of_the_page_follows_through_its_own_death(
    account_component: TestComponent, tmp_path: Path
) -> None:
    [(_, program)] = blocks("changes.md", "python")
    (tmp_path / "projection.py").write_text(program)
    table = tmp_path / "accounts.sqlite3"

    def balances() -> dict[str, int]:
        if not table.exists():
            return {}
        with closing(sqlite3.connect(table)) as db:
            found = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'accounts'").fetchone()
            return dict(db.execute("SELECT name, balance FROM accounts")) if found else {}

    def until(expected: dict[str, int]) -> None:
        deadline = time.monotonic() + 60
        while balances() != expected:
            assert time.monotonic() < deadline, balances()
            time.sleep(0.05)

    with HostProcess(tmp_path / "data", "--archive", str(tmp_path / "archive")) as host:
        deploy(host, account_component)
        command = [sys.executable, str(tmp_path / "projection.py"), host.url, str(table)]
        with host.caller() as caller:
            caller.call("Account", "alice", "deposit", 100)
            with subprocess.Popen(command) as first:
                until({"alice": 100})
                caller.call("Account", "bob", "deposit", 5)
                until({"alice": 100, "bob": 5})
                first.send_signal(signal.SIGKILL)
            caller.call("Account", "alice", "debit", 30)
            with subprocess.Popen(command) as second:
                until({"alice": 70, "bob": 5})
                second.send_signal(signal.SIGKILL)
