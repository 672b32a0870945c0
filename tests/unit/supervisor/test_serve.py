"""`holdfast serve` as an operator meets it, with the real worker and front."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.unit.supervisor.running import wait_until

SERVE = [sys.executable, "-m", "holdfast_host.cli.main", "serve"]


class Served:
    def __init__(self, folder: Path, *flags: str, **environment: str) -> None:
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*SERVE, "--listen", "127.0.0.1:0", "--data", str(folder / "data"), *flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **environment},
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            self.process.communicate(timeout=30)
            pytest.fail(f"the host did not start:\n{self.log.read_text()}")
        self.url = self.line.rpartition(" ")[2].strip()

    def pids(self) -> list[int]:
        return [int(found) for found in re.findall(r"started pid=(\d+)", self.log.read_text())]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """The exit code, and what else there was on stdout."""
        self.process.send_signal(number)
        rest = self.process.communicate(timeout=30)[0]
        return self.process.returncode, rest


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/readiness", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 200


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    host = Served(tmp_path, HOLDFAST_TOKEN="token-of-the-test")
    yield host
    if host.process.poll() is None:
        host.stop()


def test_exactly_one_line_is_printed_and_a_stop_exits_with_0(served: Served) -> None:
    assert re.fullmatch(r"Holdfast is ready: http://127\.0\.0\.1:\d+\n", served.line), served.log.read_text()
    pids = served.pids()
    assert len(pids) >= 2

    assert served.stop(signal.SIGINT) == (0, "")
    assert not any(processes.is_running(pid) for pid in pids)


def test_the_host_answers_when_it_says_that_it_is_ready(served: Served) -> None:
    with urllib.request.urlopen(f"{served.url}/health/liveness", timeout=10) as answer:
        assert answer.status == 200

    wait_until(lambda: is_ready(served.url))  # the front may still be greeting its workers; calls wait for that


def test_the_token_is_in_no_childs_environment(served: Served) -> None:
    for pid in served.pids():
        assert b"token-of-the-test" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_killed_host_leaves_nothing_and_its_successor_is_ready_at_once(served: Served, tmp_path: Path) -> None:
    pids = served.pids()
    served.process.kill()
    served.process.communicate()

    successor = Served(tmp_path)

    assert successor.line, successor.log.read_text()
    assert not any(processes.is_running(pid) for pid in pids)
    assert "did not stop in order" in successor.log.read_text()
    assert successor.stop()[0] == 0


def test_a_second_host_on_the_directory_is_refused_after_a_while(served: Served, tmp_path: Path) -> None:
    second = subprocess.run(
        [*SERVE, "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert f"pid {served.process.pid} at {served.url}" in second.stderr


def test_a_worker_that_is_killed_is_replaced_by_a_real_one(served: Served) -> None:
    worker = int(re.findall(r"worker 0 started pid=(\d+)", served.log.read_text())[0])
    processes.send(worker, signal.SIGKILL)

    def ready_again() -> bool:
        with urllib.request.urlopen(f"{served.url}/health/liveness", timeout=10) as answer:
            return answer.status == 200 and len(served.pids()) == 3

    assert wait_until(ready_again)
    assert served.stop()[0] == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--listen", "0.0.0.0:0"], "without a token"),
        (["--workers", "0"], "--workers is 0"),
        (["--limit", "method_timout_s=1"], "did you mean 'method_timeout_s'"),
        (["--data", "/dev/null"], "is a file"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(flags: list[str], said: str, tmp_path: Path) -> None:
    refused = subprocess.run(
        [*SERVE, "--data", str(tmp_path / "data"), *flags], capture_output=True, text=True, check=False, timeout=60
    )

    assert refused.returncode == 2
    assert refused.stdout == ""
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_every_flag_is_also_a_variable(tmp_path: Path) -> None:
    variables = {"HOLDFAST_DATA": str(tmp_path / "data"), "HOLDFAST_LIMIT": "method_timeout_s=1 nonsense_s=1"}
    refused = subprocess.run(
        SERVE, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **variables}
    )

    assert refused.returncode == 2
    assert "there is no limit 'nonsense_s'" in refused.stderr


def test_a_variable_that_nothing_reads_is_named_in_the_log_at_the_start(tmp_path: Path) -> None:
    served = Served(tmp_path, HOLDFAST_LIMITS="method_timeout_s=1")
    served.stop()

    first = served.log.read_text().splitlines()[0]
    assert first.partition(" warning supervisor ")[2] == (
        "HOLDFAST_LIMITS is no variable of holdfast, nothing reads it: did you mean HOLDFAST_LIMIT?"
    )


def test_a_taken_port_is_one_sentence_and_leaves_the_directory_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = subprocess.run(
            [*SERVE, "--data", str(tmp_path / "data"), "--listen", listen],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert refused.returncode == 2
    assert f"cannot listen on {listen}" in refused.stderr
    assert (tmp_path / "data" / "lock").read_text() == ""


@pytest.mark.parametrize("flag", ["--listen", "--api"])
def test_dev_names_the_flag_whose_port_is_taken(tmp_path: Path, flag: str) -> None:
    (tmp_path / "holdfast.toml").write_text('name = "p"\nmain = "app.py"\ncompatibility_date = "2026-11-01"\n')
    (tmp_path / "app.py").touch()
    other = {"--listen": "--api", "--api": "--listen"}[flag]
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        listen, port = (f"127.0.0.1:{each.getsockname()[1]}" for each in (taken, free))
        free.close()
        command = [*SERVE[:-1], "dev", str(tmp_path), flag, listen, other, port]
        refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert refused.returncode == 2
    assert refused.stderr == (
        f"holdfast: cannot listen on {listen}: Address already in use;"
        f" stop what listens there, or choose another {flag}\n"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--api", "127.0.0.1"], "--api '127.0.0.1' is not HOST:PORT"),
        (["--api", "0.0.0.0:0"], "--api '0.0.0.0:0': name a loopback address"),
        (["--listen", "127.0.0.1:x"], "--listen '127.0.0.1:x' is not HOST:PORT"),
    ],
)
def test_dev_names_the_flag_that_is_wrong(tmp_path: Path, flags: list[str], said: str) -> None:
    (tmp_path / "holdfast.toml").write_text('name = "p"\nmain = "app.py"\ncompatibility_date = "2026-11-01"\n')
    (tmp_path / "app.py").touch()
    command = [*SERVE[:-1], "dev", str(tmp_path), *flags]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert refused.returncode != 0
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["holdfast_host.cli.commands.serve", "holdfast_host.supervisor.host"])
def test_the_supervisor_loads_neither_sandbox_nor_storage_nor_http(module: str) -> None:
    script = (
        f"import {module}, sys\n"
        "found = {'wasmtime', 'lmdb', 'aiohttp', 'uvloop', 'httpx', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_commands_are_listed_without_being_imported() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from holdfast_host.cli.main import group;"
        "print(CliRunner().invoke(group, ['--help']).output);"
        "print([name for name in sys.modules if name.startswith('holdfast_host.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)

    for name in ("serve", "build", "deploy", "call", "list", "delete"):
        assert f"  {name} " in done.stdout
    assert "['holdfast_host.cli.output', 'holdfast_host.cli.variables', 'holdfast_host.cli.main']" in done.stdout
