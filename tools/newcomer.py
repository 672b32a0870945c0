"""`make newcomer`: from nothing to a deployed, monitored and backed-up chat, each command run and measured.

Writes the table of docs/newcomer.md. What is installed is the wheel in dist/, which `make dist` leaves there; what it
needs comes from the index. Prometheus must be on PATH (Debian's package `prometheus`).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = PROJECT / "docs" / "newcomer.md"
ALERTS: Final = PROJECT / "docs" / "packaging" / "prometheus" / "alerts.yaml"
BEGIN: Final = "<!-- make newcomer writes from here -->"
END: Final = "<!-- to here -->"
PORT: Final = 8787  # as it is shown; it is run at a free one
PROMETHEUS_PORT: Final = 9090
PATIENCE: Final = "--retry 60 --retry-delay 1 --retry-connrefused"

CONFIGURATION: Final = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: holdfast
    authorization: {credentials_file: metrics-token}
    static_configs: [{targets: ["127.0.0.1:8787"]}]
rule_files: [alerts.yaml]
"""

# By what each part brings: the commands, as they are typed one after the other in one shell.
PARTS: Final[dict[str, Sequence[str]]] = {
    "installed": (
        "python3 -m venv env && . env/bin/activate",
        "pip install -q 'holdfast[host]'",
        "holdfast doctor --data data",
    ),
    "deployed": (
        "head -c 32 /dev/urandom | base64 | tr -d '=+/' > token",
        'export HOLDFAST_TOKEN="$(cat token)" H=http://127.0.0.1:8787',
        "holdfast serve --data data 2> host.log &",
        f"curl -sSf {PATIENCE} $H/health/readiness 2> waited",
        "holdfast new chat --template chat",
        "head -c 32 /dev/urandom | base64 | holdfast secret set SESSION_KEY",
        "holdfast deploy chat",
    ),
    "used": (
        "R=http://chat.localhost:8787/rooms/lobby",
        "curl -sSf -c cookies -d name=ann $R",
        "holdfast call Room lobby say user=ann text=hello",
    ),
    "monitored": (
        "holdfast token create --scope read --name prometheus > metrics-token",
        "promtool check rules alerts.yaml",
        "prometheus --config.file=prometheus.yaml --web.listen-address=127.0.0.1:9090 2> prometheus.log &",
        f"curl -sSf {PATIENCE} --retry-all-errors 127.0.0.1:9090/-/ready 2> waited",
        "until curl -sSf '127.0.0.1:9090/api/v1/query?query=holdfast_worker_up' | grep '\"1\"'; do sleep 1; done",
        "holdfast doctor --data data --host $H",
    ),
    "backed up": (
        "holdfast backup chat.tar --with-key",
        "kill %1; wait %1; rm -r data",
        "holdfast restore chat.tar data",
        "holdfast serve --data data 2>> host.log &",
        f"curl -sSf {PATIENCE} $H/health/readiness 2> waited",
        "curl -sS -N -m 1 -b cookies -H 'Accept: text/event-stream' $R 2> ended | grep hello",
    ),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A command that has succeeded."""

    command: str
    took_s: float
    printed: str


class Shell:
    """One bash, in a folder of its own; it ends with everything that it has begun."""

    _MARK: Final = "@@newcomer@@"

    def __init__(self, folder: Path) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "VIRTUAL_ENV"))}
        self._process = subprocess.Popen(
            ["/bin/bash", "-m"],
            cwd=folder,
            env={**kept, "XDG_CACHE_HOME": str(folder / "cache"), "PIP_CACHE_DIR": str(folder / "cache" / "pip")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a shell without pipes")
        self._typed, self._said = self._process.stdin, self._process.stdout

    def run(self, command: str) -> Measured:
        """Type it and wait for its end; SystemExit where it fails."""
        began = time.monotonic()
        self._typed.write(f"{command}\necho; echo {self._MARK} $?\n")
        self._typed.flush()
        printed: list[str] = []
        for line in self._said:
            if line.startswith(self._MARK):
                if line.split()[1] != "0":
                    sys.exit(f"{command}\n{''.join(printed)}")
                return Measured(command, time.monotonic() - began, "".join(printed).strip())
            printed.append(line)
        sys.exit(f"{command}\nthe shell has ended:\n{''.join(printed)}")

    def close(self) -> None:
        """End what runs, and it."""
        self._typed.write("kill $(jobs -p) 2> /dev/null; wait\n")
        self._typed.close()
        self._process.wait(60)


def main() -> int:
    """Run all of it; the exit code is 1 with the command's own words where one fails."""
    parser = argparse.ArgumentParser(description="From nothing to a deployed, monitored, backed-up chat.")
    parser.add_argument("--write", action="store_true", help="write the table into docs/newcomer.md")
    asked = parser.parse_args()
    wheels = sorted((PROJECT / "dist").glob("holdfast-*.whl"))
    if len(wheels) != 1:
        sys.exit("there is no wheel in dist/: make dist")
    if shutil.which("prometheus") is None:
        sys.exit("there is no prometheus on PATH: apt-get install prometheus")
    with tempfile.TemporaryDirectory() as name:
        measured = go(Path(name), wheels[0])
    text = table(measured)
    print(text)
    if asked.write:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")
    return 0


def go(folder: Path, wheel: Path) -> dict[str, list[Measured]]:
    """All commands, in that folder, at free ports."""
    ports = {PORT: free_port(), PROMETHEUS_PORT: free_port()}
    shutil.copy(ALERTS, folder)
    (folder / "prometheus.yaml").write_text(at(CONFIGURATION, ports))
    shell = Shell(folder)
    try:
        shell.run(f"export HOLDFAST_LISTEN=127.0.0.1:{ports[PORT]} HOLDFAST_HOST=http://127.0.0.1:{ports[PORT]}")
        measured: dict[str, list[Measured]] = {}
        for part, commands in PARTS.items():
            measured[part] = []
            for command in commands:
                run = at(command.replace("'holdfast[host]'", f"'{wheel}[host]'"), ports)
                done = shell.run(run)
                print(f"{done.took_s:7.1f} s  {command}", file=sys.stderr, flush=True)
                measured[part].append(Measured(command, done.took_s, done.printed))
        return measured
    finally:
        shell.close()


def at(text: str, ports: dict[int, int]) -> str:
    """The same at these ports."""
    return re.sub(r":(\d{4})\b", lambda found: f":{ports.get(int(found[1]), found[1])}", text)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def table(measured: dict[str, list[Measured]]) -> str:
    """In Markdown, with the time of each command and of all until then."""
    lines = ["| | command | takes | by then |", "| --- | --- | ---: | ---: |"]
    so_far_s = 0.0
    for part, commands in measured.items():
        for number, each in enumerate(commands):
            so_far_s += each.took_s
            shown = each.command.replace("|", "\\|")
            heading = f"**{part}**" if number == 0 else ""
            lines.append(f"| {heading} | `{shown}` | {each.took_s:.1f} s | {_minutes(so_far_s)} |")
    count = sum(map(len, measured.values()))
    lines += ["", f"**{count} commands, {_minutes(so_far_s)} of waiting for them.** {_machine()}", ""]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes} min {rest_s:02} s" if minutes else f"{rest_s} s"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    load, python = os.getloadavg()[1], platform.python_version()  # the load of what else runs there
    return f"Measured on {datetime.now(UTC):%Y-%m-%d}: {cores} cores, load {load:.1f}, Python {python}, empty caches."


if __name__ == "__main__":
    sys.exit(main())
