"""What an operator does from the command line, over a real host."""

from __future__ import annotations

import json

import pytest

from tests.harness import components
from tests.harness.commands import run, run_any
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess

pytestmark = pytest.mark.slow


def refusal(host: HostProcess, *arguments: str) -> str:
    """The one sentence of a command that fails."""
    done = run_any(host, *arguments)
    assert done.returncode != 0, done.stdout
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def test_an_operator_reads_and_writes_single_keys(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    put = ("storage", "put", "Probe", "../é")
    assert run(host, *put, "a/b", "[1.10, -5]") == "a/b of Probe/../é is stored.\n"
    assert run(host, *put, "text", "five pounds") == "text of Probe/../é is stored.\n"
    assert run(host, *put, "negative", "-5") == "negative of Probe/../é is stored.\n"
    assert run(host, *put, "odd", "NaN") == "odd of Probe/../é is stored.\n"

    assert run(host, "storage", "get", "Probe", "../é", "a/b") == "[1.1, -5]\n"
    assert run(host, "storage", "get", "Probe", "../é", "text", "--json") == '"five pounds"\n'
    assert run(host, "storage", "get", "Probe", "../é", "negative") == "-5\n"
    assert run(host, "storage", "get", "Probe", "../é", "odd") == '"NaN"\n'
    assert run(host, "storage", "delete", "Probe", "../é", "a/b") == "a/b of Probe/../é is deleted.\n"
    assert run(host, "storage", "delete", "Probe", "../é", "a/b").startswith("There is no a/b of Probe/../é")
    assert refusal(host, "storage", "get", "Probe", "../é", "a/b").startswith("UnknownKeyError: ")
    assert "VALUE is a number that no float can hold: 1e999" in run_any(host, *put, "large", "1e999").stderr
    assert refusal(host, "storage", "get", "Nobody", "alice", "k").startswith("UnknownActorTypeError: ")
    assert "is not UTF-8" in refusal(host, "storage", "get", "Probe", "\udcff", "k")


def test_an_operator_evicts_and_erases_an_instance(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "increment")

        assert run(host, "evict", "Probe", "alice") == "Probe/alice is evicted.\n"
        assert run(host, "evict", "Probe", "alice") == "Probe/alice was not in memory.\n"
        assert "--yes" in refusal(host, "erase", "Probe", "alice")
        assert caller.value("Probe", "alice", "increment") == 2
        assert run(host, "erase", "Probe", "alice", "--yes") == "Probe/alice is erased.\n"
        assert run(host, "erase", "Probe", "alice", "--yes") == "Probe/alice had nothing stored.\n"
        assert run(host, "instances", "Probe") == ""


def test_an_operator_sets_lists_and_clears_alarms(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    assert "is due 2100-01-01T11:00:00" in run(host, "alarm", "set", "Probe", "alice", "2100-01-01T12:00:00+01:00")
    assert "is due 2100-01-01T00:00:00" in run(host, "alarm", "set", "Probe", "bob", "4102444800")
    listed = [json.loads(line) for line in run(host, "alarm", "list", "--json").splitlines()]

    assert [(each["name"], each["state"]) for each in listed] == [("bob", "armed"), ("alice", "armed")]
    assert run(host, "alarm", "list", "--limit", "1").split() == ["2100-01-01T00:00:00.000000Z", "armed", "Probe/bob"]
    assert run(host, "alarm", "list", "--state", "abandoned") == ""
    assert run(host, "alarm", "clear", "Probe", "bob") == "Probe/bob has no alarm.\n"
    assert run(host, "alarm", "list").endswith("Probe/alice\n")
    assert "without an offset" in refusal(host, "alarm", "set", "Probe", "bob", "2100-01-01T12:00:00")
    assert "write 2026-" in refusal(host, "alarm", "set", "Probe", "bob", "nan")
    assert "see 'holdfast alarm list --help'" in refusal(host, "alarm", "list", "--state", "late")


def test_an_operator_sees_what_is_deployed_undeployed_and_quarantined(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    deploy(host, components.built(components.ACCOUNT))
    with host.caller() as caller:
        caller.value("Account", "alice", "deposit", 5)
    assert "deposit(amount: int)" in run(host, "actors")
    assert run(host, "undeployed") == "Nothing: all types that have storage are deployed.\n"

    run(host, "delete", "account")
    heading, row = run(host, "undeployed").splitlines()
    assert heading.split() == ["type", "function", "func_id"]
    assert row.split()[:2] == ["Account", "account"]
    assert json.loads(run(host, "undeployed", "--json"))[0]["type"] == "Account"

    assert run(host, "quarantined") == ""
    assert run(host, "release", "probe") == "The function 'probe' was not quarantined: nothing is changed.\n"
    assert run(host, "release", "Probe", "alice") == "Probe/alice was not quarantined: nothing is changed.\n"
    assert refusal(host, "release", "nobody").startswith("UnknownFunctionError: ")
    assert refusal(host, "release", "Nobody", "alice").startswith("UnknownActorTypeError: ")
    with host.caller() as caller:
        for query in ("limit=0", "limit=1001", "cursor=*", "colour=red"):
            answer = caller.request("GET", f"/v1/quarantined?{query}")
            assert (answer.status, answer.error) == (400, "BadRequestError"), query
