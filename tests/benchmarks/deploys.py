"""How long a deploy takes, stage by stage: of bytes that the host has never seen, and of bytes it has compiled."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import httpx

from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS
from tests.harness.components import TestComponent, built
from tests.harness.host import HostProcess

_UPLOAD, _ALL = "upload", "all"
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
