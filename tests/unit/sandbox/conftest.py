"""The engine, and the probe guest built and compiled once per run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from wasmtime.component import Component

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox
from tests.harness import components
from tests.unit.sandbox.turns import TestTurn

WIT = Path(__file__).parents[3] / "wit"
WAT = Path(__file__).parents[2] / "fixtures" / "wat"


@pytest.fixture(scope="session")
def probe_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe guest as a component."""
    source = Path(__file__).with_name("probe_guest.py")
    digest = hashlib.sha256(version("componentize-py").encode())
    for path in (source, *sorted(WIT.rglob("*.wit"))):
        digest.update(path.read_bytes())

    def make(target: Path) -> None:
        folder = tmp_path_factory.mktemp("probe")
        shutil.copy(source, folder / "app.py")
        tool = Path(sys.executable).with_name("componentize-py")
        arguments = [str(tool), "-d", str(WIT), "-w", "actor", "componentize", "app", "-o", str(target)]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    return components.made_once(f"probe-guest-{digest.hexdigest()[:16]}.wasm", make)


@pytest.fixture(scope="session")
def probe_compiled(probe_wasm: Path) -> Path:
    """The probe guest, compiled."""
    return components.compiled(probe_wasm)


@pytest.fixture(scope="session")
def engine() -> SandboxEngine:
    """An engine of the process, as a worker has one."""
    return SandboxEngine(Limits())


@pytest.fixture(scope="session")
def probe(engine: SandboxEngine, probe_compiled: Path) -> LoadedComponent:
    """The probe guest, loaded."""
    return engine.load(probe_compiled)


@pytest.fixture
def ticking(engine: SandboxEngine) -> Iterator[None]:
    """The epoch advances every 10 ms, as a worker's monitor makes it."""
    stopped = threading.Event()

    def advance() -> None:
        while not stopped.wait(0.01):
            engine.advance_epoch()

    thread = threading.Thread(target=advance)
    thread.start()
    yield
    stopped.set()
    thread.join()


@pytest.fixture
def turn() -> TestTurn:
    return TestTurn()


MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def make_sandbox(probe: LoadedComponent, turn: TestTurn) -> Iterator[MakeSandbox]:
    """Instances of the probe guest, or of another component; closed at the end."""
    made: list[Sandbox] = []

    def make(component: LoadedComponent = probe, memory_bytes_max: int = 64 * MIB) -> Sandbox:
        sandbox = Sandbox.create(component, turn, memory_bytes_max=memory_bytes_max)
        made.append(sandbox)
        return sandbox

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    return make_sandbox()


def minimal_wat(**parts: str) -> str:
    """The smallest component as text, with a part in place of each named marker (`in_call` for `;;in-call`)."""
    text = (WAT / "minimal.wat").read_text()
    for name, part in parts.items():
        marker = f";;{name.replace('_', '-')}\n"
        assert text.count(marker) == 1
        text = text.replace(marker, part + "\n")
    return text


@pytest.fixture
def from_wat(engine: SandboxEngine) -> Callable[[str], LoadedComponent]:
    """A hand-made component, compiled in this process."""
    return lambda text: LoadedComponent(engine, Component(engine.engine, text))
