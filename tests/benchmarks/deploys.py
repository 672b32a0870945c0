"""How long a deploy takes, stage by stage: of bytes that the host has never seen, and of bytes it has compiled.

Then what an author waits for: `holdfast deploy` from its start to its end, of a project that this machine has never
built and of one whose sources have changed; and what a version takes on the host's disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from holdfast_host.core.limits import MIB
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS
from tests.harness.components import TestComponent, built
from tests.harness.host import HOLDFAST, HostProcess

_UPLOAD, _ALL = "upload", "all"
_CHANGES = 2  # of the sources, for each host
_PACKED_S = 2.0  # after a deploy its component is packed
_STAGES = (_UPLOAD, "checking", "compiling", "reusing", "trying", "cached", "loading", "switching", _ALL)


def run(section: Section, scale: Scale) -> None:
    """Each round on a fresh data directory: cold, then the same bytes under another manifest, then the very same."""
    component = built(PEERS / "account")
    manifest = component.manifest.read_text()
    seen: dict[str, list[dict[str, float]]] = {"cold": [], "cached": [], "the same again": []}
    for _ in range(scale.deploys):
        with tempfile.TemporaryDirectory() as folder, HostProcess(Path(folder) / "data") as host:
            other = manifest + '\n[vars]\nGREETING = "hello"\n'
            for name, text in zip(seen, (manifest, other, other), strict=True):
                seen[name].append(_deploy(host, component, text))
    rows = []
    for name, runs in seen.items():
        cells: list[object] = [name]
        for stage in _STAGES:
            times = [each[stage] for each in runs if stage in each]
            cells.append(section.figure(f"deploy/{name.replace(' ', '_')}/{stage}_s", times) if times else "")
        rows.append(cells)
    section.table("deploy, seconds", ["deploy", *_STAGES], rows)
    _run_commands(section, scale)


def _run_commands(section: Section, scale: Scale) -> None:
    """`holdfast deploy`, with a cache of builds of its own: of new sources, then of changed ones again and again."""
    first, changed, kept = list[float](), list[float](), list[float]()
    for _ in range(scale.deploys):
        with tempfile.TemporaryDirectory() as folder, HostProcess(Path(folder) / "data") as host:
            project = Path(folder) / "account"
            shutil.copytree(PEERS / "account", project, ignore=shutil.ignore_patterns("build", "__pycache__"))
            environment = {**os.environ, "XDG_CACHE_HOME": f"{folder}/cache", "HOLDFAST_HOST": host.url}
            times = [_timed([HOLDFAST, "deploy", str(project)], environment)]
            _timed([HOLDFAST, "build", "--base", str(project)], environment)  # a deploy from a terminal begins that
            for number in range(_CHANGES):
                with (project / "src" / "app.py").open("a") as source:
                    source.write(f"\nCHANGED = {number}\n")
                times.append(_timed([HOLDFAST, "deploy", str(project)], environment))
            first.append(times[0])
            changed += times[1:]
            time.sleep(_PACKED_S)
            shown = httpx.get(f"{host.url}/v1/functions/account").json()
            kept += [each["disk_bytes"] / MIB for each in shown["versions"][1:]]
            live = shown["versions"][0]["disk_bytes"] / MIB
    section.table(
        "`holdfast deploy`, with its build, seconds",
        ["deploy", "seconds"],
        [
            ["of a project that was never built here", section.figure("deploy/command/first_s", first)],
            ["of changed sources", section.figure("deploy/command/changed_s", changed)],
        ],
    )
    section.table(
        "a version on the host's disk",
        ["version", "MiB"],
        [
            ["one that is kept", section.figure("deploy/disk/kept_mib", kept)],
            ["the one that runs", section.figure("deploy/disk/running_mib", [live])],
        ],
    )


def _timed(command: list[str], environment: dict[str, str]) -> float:
    """Seconds until it has ended."""
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _deploy(host: HostProcess, component: TestComponent, manifest: str) -> dict[str, float]:
    """Seconds of each stage, from what the host says as it happens."""
    url = f"{host.url}/v1/functions/{component.function}"
    files = {"manifest": manifest.encode(), "component": component.component.read_bytes()}
    took: dict[str, float] = {}
    stage, began = _UPLOAD, time.perf_counter()
    since = began
    with httpx.stream("PUT", url, files=files, headers={"accept": "application/x-ndjson"}, timeout=180) as answer:
        for line in answer.iter_lines():
            facts, now = json.loads(line), time.perf_counter()
            took[stage] = took.get(stage, 0.0) + now - since
            stage, since = facts.get("stage", _ALL), now
            assert stage != _ALL or facts["status"] in {200, 201}, facts
    took[_ALL] = time.perf_counter() - began
    return took
