"""`holdfast top`: what it shows, once and again and again, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.harness.host import HOLDFAST
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import fails_in_one_sentence, run

TURN = {
    "turn": "a1", "type": "Account", "name": "alice", "function": None, "method": "deposit", "state": "computing",
    "age_s": 12.345, "waited_s": 0.001, "called_by": None, "waits_for": None,
    "stands": "Account.deposit, src/app.py line 12",
}  # fmt: skip
CALLING = {
    **TURN, "name": "bob", "state": "waiting for a call", "waits_for": "Ledger/7.add", "called_by": "Shop/x",
    "stands": None, "age_s": 200,
}  # fmt: skip
REQUEST = {**TURN, "type": None, "name": None, "function": "web", "method": "fetch", "age_s": 0.01, "stands": None}
ACTIVITY = {
    "turns": [TURN, CALLING, REQUEST],
    "turns_total": 5,
    "queues": [{"type": "Account", "name": "alice", "function": None, "turns": 256, "oldest_s": 3.2}],
    "queues_total": 1000,
    "waiting_turns": 1255,
    "groups": [
        {"group": 7, "turns": 14, "bytes": 900, "held": 14, "age_s": 4.5},
        {"group": 8, "turns": 1, "bytes": 9, "held": 2, "age_s": None},
    ],
    "detached": 5,
    "compute": {"slots": 1, "free": 0, "waiting": 3},
    "activations": 12,
    "functions": [{"function": "web", "sandboxes": 1, "busy": 1, "waiting": 0}],
    "functions_total": 1,
    "alarms": {"under_way": 4, "aside": 1, "in_line": 0},
}
WORKER: dict[str, Any] = {
    "worker": 0, "pid": 4711, "state": "up", "age_s": 90_061, "heartbeat_s": 0.4, "deaths": 0, "commit_stalled": True,
    "shortage": None, "answers": True, "activity": ACTIVITY, "noted": [], "noted_total": 0,
}  # fmt: skip
SILENT = {
    **WORKER, "worker": 1, "deaths": 1, "heartbeat_s": 8.25, "commit_stalled": False, "shortage": "the disk is full",
    "answers": False, "activity": None, "noted": [{"type": "Account", "name": "carol", "function": None}],
    "noted_total": 3,
}  # fmt: skip
DOWN = {**SILENT, "worker": 2, "pid": None, "state": "down", "shortage": None, "noted": [], "noted_total": 0}
ANSWER = {"workers": [WORKER, SILENT, DOWN]}
SHOWN = """\
worker 0: up, pid 4711 for 1 d 1 h, 12 activations, 5 detached threads, 1255 waiting
  ITS COMMIT HANGS: look at the disk
  group 7  at the disk for 4.5 s, 14 turns, 14 held back
  group 8  gathers, 1 turn, 2 held back
  runs  Account/alice.deposit  12.3 s  computing  in Account.deposit, src/app.py line 12
  runs  Account/bob.deposit  3 min 20 s  waiting for a call of Ledger/7.add  called by Shop/x
  runs  function web.fetch  0.01 s  computing
  and 2 others run
  queue  Account/alice  256 turns waiting, the oldest for 3.2 s
  and 999 other queues
  function  web  1 sandbox, 1 busy, 0 waiting
  3 turns wait for 1 processor
  alarms  4 under way, 1 put aside, 0 in line
worker 1: up, pid 4711 for 1 d 1 h, died 1 time
  NOTHING MAY GROW: the disk is full
  IT DOES NOT ANSWER: its last sign of life was 8.25 s ago
  has begun  Account/carol
  and 2 others
worker 2: down, died 1 time
"""


@pytest.mark.parametrize("words", [(), ("--once",)])
def test_without_a_terminal_all_workers_are_shown_once(words: tuple[str, ...]) -> None:
    with scripted_host(body=json.dumps(ANSWER).encode()) as host:
        result = run("top", *words, "--limit", "7", HOLDFAST_HOST=host.url)

    assert (result.exit_code, result.stdout) == (0, SHOWN)
    assert [each.path for each in host.asked] == ["/v1/debug/workers?limit=7"]


def test_programs_get_the_answer_as_one_document() -> None:
    with scripted_host(body=json.dumps(ANSWER).encode()) as host:
        result = run("top", "--json", HOLDFAST_HOST=host.url)

    assert json.loads(result.stdout) == ANSWER
    assert result.stdout.count("\n") == 1


def test_a_refusal_is_one_sentence() -> None:
    error = {"error": {"name": "HostUnavailableError", "message": "the host is stopping", "retryable": True}}
    with scripted_host(503, json.dumps(error).encode()) as host:
        sentence = fails_in_one_sentence(run("top", HOLDFAST_HOST=host.url))

    assert "the host is stopping" in sentence


def test_on_a_terminal_it_looks_again_until_ctrl_c_and_gives_the_screen_back() -> None:
    ours, its = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with scripted_host(body=json.dumps(ANSWER).encode()) as host, open(ours, "rb", buffering=0) as screen:
        command = [HOLDFAST, "top", "--interval", "0.1"]
        environment["HOLDFAST_HOST"] = host.url
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
        os.close(its)
        shown = b""
        while shown.count(b"Account/alice.deposit") < 3:
            shown += screen.read(65_536)
        process.send_signal(signal.SIGINT)
        try:
            while piece := screen.read(65_536):
                shown += piece
        except OSError:  # EIO: the command has ended
            pass
        code = process.wait(60)
    taken, given_back = shown.find(b"\x1b[?1049h"), shown.find(b"\x1b[?1049l")

    assert code == 0, shown
    assert len(host.asked) >= 3
    assert 0 <= taken < given_back
    assert b"Traceback" not in shown
    assert b"Aborted" not in shown
    assert b"\x1b[?25h" in shown[shown.rfind(b"\x1b[?25l") :]  # the cursor is there again


def test_a_host_that_goes_away_ends_it_with_a_sentence() -> None:
    sentence = fails_in_one_sentence(run("top", "--host", "http://127.0.0.1:1"))

    assert sentence.startswith("No host answers at http://127.0.0.1:1")
