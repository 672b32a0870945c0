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

from holdfast_host.cli.commands import dev
from holdfast_host.cli.dev import log as dev_log
from tests.harness.host import HOLDFAST
from tests.harness.terminals import EVIL, LINE, faults
from tests.unit.cli.every_command import CASES, DEPLOYED, FUNCTION, INSTANCE, LOG_LINE, METHOD, TYPE, WALK, body_of
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import COMMANDS, run


def test_the_walk_passes_every_command_there_is() -> None:
    assert WALK.keys() == set(COMMANDS) - {"secret", "storage", "store", "alarm", "job", "token", "auth", "tenant"}


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["list"], {"functions": [{**FUNCTION, "name": f"[/b][link=x]{EVIL}"}]}),
        (["secret", "list"], WALK["secret list"][0][1]),
        (["undeployed"], WALK["undeployed"][0][1]),
        (["inspect", "A", "b"], INSTANCE),
        (["logs"], LOG_LINE),
        (["top", "--once"], WALK["top"][0][1]),
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
    answer = {"actors": [{**TYPE, "type": "Other", "methods": methods}]}
    with scripted_host(body=body_of(answer)) as host:
        run("types", str(tmp_path), HOLDFAST_HOST=host.url)

    written = (tmp_path / "bindings.py").read_text()
    assert "def good(" in written
    assert "import os" not in written
    assert not faults(written)
    compile(written, "bindings.py", "exec")


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
