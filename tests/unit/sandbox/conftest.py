"""The engine, and the probe guest built and compiled once per run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wasmtime.component import Component

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox
from tests.unit.sandbox.turns import TestTurn

WIT = Path(__file__).parents[3] / "wit"
WAT = Path(__file__).parents[2] / "fixtures" / "wat"


@pytest.fixture(scope="session")
def probe_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe guest as a component."""
    folder = tmp_path_factory.mktemp("probe")
    shutil.copy(Path(__file__).with_name("probe_guest.py"), folder / "app.py")
    tool = Path(sys.executable).with_name("componentize-py")
    arguments = [str(tool), "-d", str(WIT), "-w", "actor", "componentize", "app", "-o", "app.wasm"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "app.wasm"


@pytest.fixture(scope="session")
def probe_compiled(probe_wasm: Path, engine: SandboxEngine) -> Path:
    """The probe guest compiled in this process: only a test's own guest may be."""
    compiled = probe_wasm.with_suffix(".cwasm")
    compiled.write_bytes(Component.from_file(engine.engine, probe_wasm).serialize())
    return compiled


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
