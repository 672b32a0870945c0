"""The files that install a host: what they name is there, and what reads them takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from holdfast_host.cli.variables import KNOWN
from holdfast_host.core.limits import Limits
from tests.harness.components import PROJECT
from tests.harness.host import HOLDFAST

PACKAGING = PROJECT / "docs" / "packaging"
FILES = sorted(path.relative_to(PACKAGING).as_posix() for path in PACKAGING.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FILES)
def test_the_variables_that_a_file_sets_are_those_that_are_read(name: str) -> None:
    assert set(re.findall(r"HOLDFAST_\w+", (PACKAGING / name).read_text())) <= KNOWN


def test_the_unit_is_one_for_systemd(tmp_path: Path) -> None:
    """Where there is none, its lines are still pairs in sections."""
    text = (PACKAGING / "holdfast.service").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"\[\w+\]|[A-Z]\w+=.*", line) for line in lines)
    for needed in ("Type=notify", "WatchdogSec=30s", "DynamicUser=yes", "KillMode=mixed", "ProtectSystem=strict"):
        assert needed in lines

    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        unit = tmp_path / "holdfast.service"
        unit.write_text(text.replace("/opt/holdfast/bin/holdfast", HOLDFAST))
        done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_every_way_gives_the_host_its_time_to_stop() -> None:
    needed_s = Limits().stop_timeout_s
    unit = re.search(r"TimeoutStopSec=(\d+)s", (PACKAGING / "holdfast.service").read_text())
    compose: Any = yaml.safe_load((PACKAGING / "compose.yaml").read_text())
    pod = _stateful_set()["spec"]["template"]["spec"]

    assert unit is not None
    assert int(unit[1]) > needed_s
    assert int(compose["services"]["holdfast"]["stop_grace_period"].removesuffix("s")) > needed_s
    assert pod["terminationGracePeriodSeconds"] > needed_s


def test_one_pod_at_a_time_has_the_volume_and_no_rights() -> None:
    stateful = _stateful_set()
    [container] = stateful["spec"]["template"]["spec"]["containers"]
    [claim] = stateful["spec"]["volumeClaimTemplates"]

    assert stateful["spec"]["replicas"] == 1
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/data", "/tmp"}
    assert {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    } == {
        "startupProbe": "/health/readiness",
        "readinessProbe": "/health/readiness",
        "livenessProbe": "/health/liveness",
    }


def test_the_image_and_the_pod_are_of_the_same_user() -> None:
    user = _stateful_set()["spec"]["template"]["spec"]["securityContext"]["runAsUser"]

    assert f"--uid {user} " in (PACKAGING / "Dockerfile").read_text()


def _stateful_set() -> Any:
    documents = yaml.safe_load_all((PACKAGING / "kubernetes.yaml").read_text())
    return next(each for each in documents if each["kind"] == "StatefulSet")
