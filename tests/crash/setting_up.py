"""Power cuts while a host is set up: its first start, deploys, secrets, a quarantine.

Each step was acknowledged at some time. What a cut leaves must open as a host opens it, hold every step that had been
acknowledged, and the one under way whole or not at all.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.sandbox.components.compile_client import compile_component
from holdfast_host.sandbox.components.compiled_store import DamagedError, KeptComponent
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.supervisor.cluster.standby import Standby
from holdfast_host.supervisor.directory.component_files import ComponentFiles, digest_of
from holdfast_host.supervisor.service_manager import ServiceManager
from holdfast_host.supervisor.startup import HostResources, open_resources
from tests.crash.power import Disk, Record, read_records
from tests.faults.shim import Recording
from tests.harness.components import TestComponent
from tests.harness.deploying import next_version, try_to_deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command

DEADLY = b"deadly"


class Held(NamedTuple):
    """What of the steps is there."""

    version: int | None = None
    secret: str | None = None
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the host; it had begun and had been acknowledged at these times, in monotonic seconds."""

    began_s: float
    ended_s: float
    then: Held


@dataclass(frozen=True, slots=True)
class Setup:
    """A recorded run."""

    data: Path
    steps: list[Step]
    records: list[Record]

    def possible_between(self, since_s: float, until_s: float) -> list[Held]:
        """What may be there after a cut between two times."""
        held = [Held()]
        for step in self.steps:
            if step.began_s > until_s:
                break
            held = [step.then] if step.ended_s < since_s else [*held, step.then]
        return held


def record_setup(folder: Path, component: TestComponent) -> Setup:
    """Set a new host up on a recorded disk."""
    data = folder / "data"
    recording = Recording(folder / "records", data)
    steps: list[Step] = []
    with HostProcess(
        data, "--workers", "1", command=command("crash_in_deadly_names"), environment=recording.environment
    ) as host:

        def step(then: Held, do: Callable[[], Any]) -> None:
            began_s = time.monotonic()
            do()
            steps.append(Step(began_s, time.monotonic(), then))

        def deployed(component: TestComponent) -> None:
            answer = try_to_deploy(host, component)  # whatever it compiles is on the recorded disk
            assert answer.status in {200, 201}, answer

        def secret(value: str) -> None:
            with host.caller() as caller:
                answer = caller.request("PUT", "/v1/secrets/WORD", f'{{"value": "{value}"}}')
                assert answer.status in {200, 201}, answer

        def quarantine() -> None:
            with host.caller() as caller:
                while caller.call("Probe", DEADLY.decode(), "nothing").error != "ActorQuarantinedError":
                    continue

        step(Held(1), lambda: deployed(component))
        step(Held(1, "one"), lambda: secret("one"))
        step(Held(1, "two"), lambda: secret("two"))
        step(Held(2, "two"), lambda: deployed(next_version(component, folder)))
        step(Held(2, "two", quarantined=True), quarantine)
    return Setup(data, steps, read_records(recording.folder))


def cut_setup(setup: Setup, left: Path, *, cuts: int, seed: int) -> list[str]:
    """Cut the power at random instants and at each change of a name; what is wrong afterwards."""
    chance = random.Random(seed)
    names = [number for number, record in enumerate(setup.records) if record.kind in "CDRUS"]
    instants = sorted(chance.choices(names, k=cuts))
    disk, done, faults = Disk(None, setup.data), 0, []
    for instant in instants:
        for record in setup.records[done:instant]:
            disk.do(record)
        done = instant
        during = setup.records[instant]
        disk.write(left, during, chance)
        possible = setup.possible_between(setup.records[instant - 1].time_s, during.time_s)
        where = f"cut at {instant} ({during.kind} {Path(during.path).relative_to(setup.data)})"
        faults += [f"{where}: {each}" for each in _look(left, possible)]
    return faults


def _look(left: Path, possible: list[Held]) -> list[str]:
    """Open what was left as a host would."""
    config = HostConfig.make(listen="127.0.0.1:0", data=left, workers=1)
    try:
        with open_resources(
            config, EventLog(stream=io.StringIO()), Standby(ServiceManager({}), compile_component)
        ) as resources:
            new_data = resources.registry.next_type_id() == 1
            partitions, limits = range(resources.directory.partitions), Limits(map_bytes=1 << 30)
            LmdbStore.open(left, partitions, limits, make=new_data).close()
            found = _held(resources)
            faults = _faults_of_files(resources)
    except (ConfigurationError, OSError) as error:
        return [f"does not open: {error!r}"]
    return faults if found in possible else [*faults, f"{found} is none of {possible}"]


def _held(resources: HostResources) -> Held:
    registry, vault = resources.registry, resources.vault
    probe = registry.type_named("default", "Probe")
    if probe is None:
        return Held(None, vault.values().get("WORD"))
    [deployment] = registry.current()
    quarantined = resources.quarantine.listed(lambda _: (deployment.function, deployment.version))
    return Held(deployment.version, vault.values().get("WORD"), (probe.type_id, DEADLY) in quarantined)


def _faults_of_files(resources: HostResources) -> list[str]:
    """A version's component must be whole; its compiled file whole, or known to be wanting."""
    faults = []
    for deployment in resources.registry.current():
        component = ComponentFiles(resources.directory.components).find(deployment.sha256)
        if component is None or digest_of(component) != deployment.sha256:
            faults.append(f"version {deployment.version} is recorded, its component is not whole")
        kept = KeptComponent.at(resources.directory.compiled, deployment.sha256)
        try:
            kept.read()
        except DamagedError as damaged:
            if kept.looks_unchanged():
                faults.append(f"taken for what was written: {damaged}")
    return faults
