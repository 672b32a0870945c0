"""A real host with a guest whose every text is for the operator's terminal, and all commands that look into it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast_host.cli.main import group
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.terminals import LINE, NAME, faults
from tests.hostile.corpus import GUEST

KEY = LINE.replace("\udc9b", "")
ONE = ("HostileText", NAME)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("call", *ONE, "paint"),
    ("call", *ONE, "refuse"),
    ("call", *ONE, "fail"),
    ("call", *ONE, NAME),
    ("call", NAME, "a", "b"),
    ("call", *ONE, "fail_later"),
    ("actors",),
    ("list",),
    ("list", "hostile"),
    ("list", NAME),
    ("instances", "HostileText"),
    ("inspect", *ONE),
    ("storage", "get", *ONE, KEY),
    ("storage", "put", *ONE, KEY, NAME),
    ("storage", "put", *ONE, "__holdfast_" + KEY, NAME),
    ("storage", "delete", *ONE, KEY),
    ("alarm", "list"),
    ("alarm", "set", *ONE, NAME),
    ("alarm", "set", *ONE, "4000000000"),
    ("alarm", "clear", *ONE),
    ("logs",),
    ("logs", "--name", NAME),
    ("evict", *ONE),
    ("release", *ONE),
    ("quarantined",),
    ("rollback", NAME),
    ("secret", "set", NAME),
    ("secret", "delete", NAME),
    ("secret", "list"),
    ("erase", *ONE, "--yes"),
    ("delete", NAME),
    ("delete", "hostile"),
    ("undeployed",),
)

pytestmark = pytest.mark.slow


def test_nothing_that_a_hostile_guest_says_reaches_the_operators_terminal_raw(tmp_path: Path) -> None:
    with (
        HostProcess(tmp_path / "data", "--outbound", "http://*", "--log-level", "debug") as host,
        host.caller() as caller,
    ):
        deploy(host, components.built(GUEST))
        assert caller.call("HostileText", NAME, "paint").status == 200
        caller.value("HostileText", "late", "fail_later")
        while not any(each["last_error"] for each in caller.request("GET", "/v1/alarms").value["alarms"]):
            time.sleep(0.05)
        shown = {command: _shown(host, *command) for command in COMMANDS}
        wrong = {command: found for command, text in shown.items() if (found := faults(text))}
        log = host.log

    assert not wrong, {command: shown[command] for command in wrong}
    assert "\\u001b]0;owned" in shown["logs",]
    assert "\\u202e" in shown["instances", "HostileText"]
    assert "\\u009b2J" in shown["actors",]
    assert "owned" in log
    assert not faults(log), log


def _shown(host: HostProcess, *command: str) -> str:
    """What a command prints on both streams, however it ends."""
    return CliRunner().invoke(group, list(command), env={"HOLDFAST_HOST": host.url}, prog_name="holdfast").output
