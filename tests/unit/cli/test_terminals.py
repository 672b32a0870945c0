"""A terminal obeys no text of others: every command, given answers, names and builds that would take it over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.cli.commands import build, dev, types
from holdfast_host.cli.dev import log as dev_log
from tests.harness.host import HOLDFAST
from tests.harness.terminals import EVIL, LINE, faults
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import COMMANDS, run

METHOD = {"name": EVIL, "signature": EVIL, "doc": LINE}
FUNCTION = {
    "name": EVIL,
    "func_id": EVIL,
    "version": 1,
    "versions": [{"version": 1, "created_at": EVIL, "sha256": EVIL}],
    "status": "failed",
    "reason": EVIL,
    "actors": [{"type": EVIL, "owner": True}, {"type": EVIL, "owner": False}],
    "url": EVIL,
}
ALARM = {"due": EVIL, "state": EVIL, "type": EVIL, "name": EVIL, "retry_count": 1, "last_error": EVIL}
INSTANCE = {
    "active": True,
    "queued": 0,
    "quarantined": True,
    "version": EVIL,
    "alarm": ALARM,
    "keys": 2,
    "bytes": 9,
    "entries": [{"key": EVIL, "value": {EVIL: EVIL * 20}}, {"key": EVIL, "raw": EVIL}],
    "next": EVIL,
}
LOG_LINE = {"time": 1.0, "level": "error", "type": EVIL, "name": EVIL, "message": EVIL, "backtrace": EVIL}
ONE = [EVIL, EVIL]
DEPLOYED = ({"stage": EVIL}, {"function": FUNCTION, "status": 201})

# What each command is given after its own words, and what the host answers it: lines, where it is several. None: it
# asks no host.
WALK: dict[str, list[tuple[list[str], Any]]] = {
    "actors": [([], {"actors": [{"type": EVIL, "function": EVIL, "version": EVIL, "methods": [METHOD]}]})],
    "call": [([*ONE, EVIL, f"key={EVIL}"], {EVIL: [EVIL]}), ([*ONE, EVIL, EVIL], None)],
    "list": [([], {"functions": [FUNCTION]}), ([EVIL], FUNCTION)],
    "undeployed": [([], {"actors": [{"type": EVIL, "function": EVIL, "func_id": EVIL}]})],
    "quarantined": [
        (
            [],
            {
                "quarantined": [
                    {"died_at": EVIL, "function": EVIL, "version": EVIL, "what": what, "type": EVIL, "name": EVIL}
                    for what in ("handler", "version", EVIL)
                ],
                "cursor": None,
            },
        )
    ],
    "release": [(ONE, {"released": True}), ([EVIL], {"released": False})],
    "instances": [([EVIL, "--prefix", EVIL], {"instances": [{"bytes": 1, "name": EVIL}], "cursor": None})],
    "inspect": [([*ONE, "--start", EVIL], INSTANCE)],
    "storage get": [([*ONE, EVIL], {EVIL: EVIL})],
    "storage put": [([*ONE, EVIL, EVIL], {})],
    "storage delete": [([*ONE, EVIL], {"deleted": True}), ([*ONE, EVIL], {"deleted": False})],
    "alarm list": [([], {"alarms": [ALARM, {**ALARM, "type": None, "type_id": EVIL}], "cursor": None})],
    "alarm set": [([*ONE, EVIL], {"due": EVIL})],
    "alarm clear": [(ONE, {})],
    "evict": [(ONE, {"evicted": True})],
    "erase": [([*ONE, "--yes"], {"deleted": True}), (ONE, None)],
    "logs": [([], LOG_LINE), (["--name", EVIL], {"time": 1.0, "function": EVIL, "message": EVIL})],
    "rollback": [([EVIL], FUNCTION)],
    "delete": [([EVIL], {})],
    "secret set": [([EVIL], {})],
    "secret list": [([], {"secrets": [{"name": EVIL, "updated_at": EVIL, "functions": [EVIL]}]})],
    "secret delete": [([EVIL], {})],
    "deploy": [(["--component", "{component}"], DEPLOYED), (["--component", EVIL], None)],
    "types": [(["{project}"], {"actors": [{"type": "Other", "methods": [METHOD]}]})],
    "build": [([EVIL], None), (["{project}"], None)],
    "new": [([EVIL], None)],
    "serve": [(["--listen", EVIL], None), (["--limit", EVIL], None), (["--data", "{component}" + EVIL], None)],
    "dev": [(["{project}", "--listen", EVIL], None), ([EVIL], None)],
}
CASES = [(command, *case) for command in WALK for case in WALK[command]]


@pytest.fixture
def put_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], list[str]]:
    """A project whose build says what others wrote, and a component, in the places of their names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wasm").write_bytes(b"\0asm")
    (tmp_path / "holdfast.toml").write_text(
        'name = "p"\nmain = "app.py"\ncompatibility_date = "2026-11-01"\n'
        '[[actors]]\nbinding = "OTHER"\ntype = "Other"\n'
    )
    (tmp_path / "app.py").touch()

    def fails(directory: Path, on_stage: Callable[[str], None]) -> None:
        on_stage(EVIL)
        raise BuildError(EVIL, EVIL)

    monkeypatch.setattr(build, "build_project", fails)
    monkeypatch.setattr(types, "describe_project", lambda directory: {"actors": []})
    places = {"{project}": str(tmp_path), "{component}": str(tmp_path / "a.wasm")}
    return lambda words: [places.get(word, word) for word in words]


def test_the_walk_passes_every_command_there_is() -> None:
    assert WALK.keys() == set(COMMANDS) - {"secret", "storage", "alarm"}


@pytest.mark.parametrize(("command", "words", "answer"), CASES)
def test_no_command_shows_a_terminal_what_it_would_obey(
    put_in: Callable[[list[str]], list[str]], command: str, words: list[str], answer: Any
) -> None:
    with scripted_host(body=body_of(answer)) as host:
        result = run(*command.split(), *put_in(words), stdin="secret", HOLDFAST_HOST=host.url)

    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.output
    assert not faults(result.output), result.output
    assert answer is None or result.exit_code == 0, result.output


@pytest.mark.parametrize(("command", "words", "answer"), [case for case in CASES if case[2] is not None])
def test_no_refusal_shows_a_terminal_what_it_would_obey(
    put_in: Callable[[list[str]], list[str]], command: str, words: list[str], answer: Any
) -> None:
    error = {"error": {"name": EVIL, "message": EVIL, "code": EVIL, "retryable": True}}
    with scripted_host(409, json.dumps(error).encode()) as host:
        result = run(*command.split(), *put_in(words), stdin="secret", HOLDFAST_HOST=host.url)

    assert result.exit_code == 1, result.output
    assert not faults(result.output), result.output


@pytest.mark.parametrize("command", [each for each, cases in WALK.items() if cases[0][1] and each != "types"])
def test_what_programs_read_is_ascii(put_in: Callable[[list[str]], list[str]], command: str) -> None:
    words, answer = WALK[command][0]
    with scripted_host(body=body_of(answer)) as host:
        result = run(*command.split(), "--json", *put_in(words), stdin="secret", HOLDFAST_HOST=host.url)

    assert result.exit_code == 0, result.output
    assert all(" " <= each <= "~" for line in result.stdout.split("\n") for each in line)
    assert all(json.loads(line) is not Ellipsis for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["list"], {"functions": [{**FUNCTION, "name": f"[/b][link=x]{EVIL}"}]}),
        (["secret", "list"], WALK["secret list"][0][1]),
        (["undeployed"], WALK["undeployed"][0][1]),
        (["inspect", "A", "b"], INSTANCE),
        (["logs"], LOG_LINE),
        (["deploy", "--component", "a.wasm"], ({"stage": f"[/b]{EVIL}"}, *DEPLOYED)),
    ],
)
def test_a_terminal_with_colours_and_bars_is_not_steered_either(
    tmp_path: Path, words: list[str], answer: dict[str, Any]
) -> None:
    (tmp_path / "a.wasm").write_bytes(b"\0asm" + bytes(1000))
    with scripted_host(body=body_of(answer)) as host:
        code, shown = _raw_on_a_terminal([HOLDFAST, *words], tmp_path, host.url)

    assert code == 0, shown
    assert not faults(shown, terminal=True), shown
    assert "[/b]" in shown if "[/b]" in json.dumps(answer) else True


def test_the_log_of_dev_and_what_its_builds_say_are_shown_behind_a_label(capsys: pytest.CaptureFixture[str]) -> None:
    dev_log.show_line(json.dumps({"level": "error", "message": EVIL, "instance": EVIL, "backtrace": EVIL}))
    dev_log.show_line(EVIL.replace("\n", ""))
    dev._say(EVIL, EVIL)

    assert not faults(capsys.readouterr().out)


def test_a_bug_of_ours_is_shown_without_what_it_quotes() -> None:
    script = (
        "import sys, threading\n"
        "from holdfast_host.cli.output import guard_tracebacks\n"
        "guard_tracebacks()\n"
        f"def fail(): raise ValueError({EVIL!r})\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "fail()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert done.returncode == 1
    assert done.stderr.count(b"ValueError: ") == 2
    assert not faults(done.stderr.decode())


def test_a_stream_without_the_letters_gets_them_spelled_out() -> None:
    with scripted_host(body='{"name":"名前"}'.encode()) as host:
        environment = {**os.environ, "PYTHONIOENCODING": "ascii", "HOLDFAST_HOST": host.url}
        command = [HOLDFAST, "call", "Account", "名", "who"]
        done = subprocess.run(command, capture_output=True, env=environment, check=True)

    assert done.stdout == b'{"name": "\\u540d\\u524d"}\n'


def test_types_of_others_are_written_as_python_that_nobody_else_wrote(
    put_in: Callable[[list[str]], list[str]], tmp_path: Path
) -> None:
    forged = {"name": "x(self): ...\n\nimport os  #", "signature": "()", "doc": ""}
    methods = [METHOD, forged, {"name": "good", "signature": "(n: int)", "doc": LINE}]
    answer = {"actors": [{"type": "Other", "methods": methods}], "secrets": []}
    with scripted_host(body=body_of(answer)) as host:
        run("types", str(tmp_path), HOLDFAST_HOST=host.url)

    written = (tmp_path / "bindings.py").read_text()
    assert "def good(" in written
    assert "import os" not in written
    assert not faults(written)
    compile(written, "bindings.py", "exec")


def body_of(answer: Any) -> bytes:
    """What a host sends for an answer, or for several, which are lines."""
    return "\n".join(map(json.dumps, answer if isinstance(answer, tuple) else (answer,))).encode()


def _raw_on_a_terminal(command: list[str], folder: Path, url: str) -> tuple[int, str]:
    """Exit code of a command on a terminal, and every character that this was given."""
    ours, its = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "4000", "HOLDFAST_HOST": url}
    shown = b""
    with open(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, cwd=folder)
        os.close(its)
        with suppress(OSError):  # EIO: the command has ended
            while piece := screen.read(65_536):
                shown += piece
    return process.wait(60), shown.decode()
