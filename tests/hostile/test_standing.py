"""A turn that the host has stopped leaves a line in its instance's log that says where its code stood."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.harness.caller import Caller
from tests.harness.components import PROBE
from tests.harness.fixtures import StartHost

END_S = 20.0

pytestmark = pytest.mark.slow


def line_of(text: str) -> int:
    return next(n for n, line in enumerate((PROBE / "src" / "app.py").read_text().splitlines(), 1) if text in line)


def test_a_budget_and_a_trap_say_in_the_log_where_the_code_stood_and_little_to_the_caller(
    start_probe_host: StartHost,
) -> None:
    host = start_probe_host("--limit", "method_timeout_s=1")
    with host.caller() as caller:
        late = caller.call("Probe", "late", "spin", 20)
        trapped = caller.call("Probe", "trapped", "trap")

        assert late.error == "ActorMethodTimeoutError"
        assert trapped.error == "ActorTrapError"
        assert "app.py" not in late.text + trapped.text
        first = line_of("def spin(")
        told = _trap_of(caller, "late")
        over = "trap: ended: Probe/late: over its budget of 1 s; it stood in Probe.spin, src/probe/app.py line "
        assert told["message"].startswith(over)
        assert int(told["message"].rpartition(" ")[2]) in range(first, first + 6)
        assert 'File "src/probe/app.py", line' in told["backtrace"]
        told = _trap_of(caller, "trapped")
        place = f"it stood in Probe.trap, src/probe/app.py line {line_of('def trap(') + 1}"
        assert told["message"].startswith("trap: ")
        assert told["message"].endswith(place)


def _trap_of(caller: Caller, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + END_S
    while True:
        text = caller.request("GET", f"/v1/logs?type=Probe&name={name}").text
        lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        for line in lines:
            if str(line["message"]).startswith("trap: "):
                return line
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)
