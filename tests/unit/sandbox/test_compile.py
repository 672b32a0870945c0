"""Compiling in a limited process, its cache, and what it says of components that cannot run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from holdfast_host.core.errors import HostUnavailableError, InvalidComponentError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.components.compile_client import CompiledComponent, compile_component
from holdfast_host.sandbox.engine import SandboxEngine
from holdfast_host.sandbox.instance import Sandbox
from tests.harness import components, processes
from tests.unit.sandbox.conftest import minimal_wat
from tests.unit.sandbox.turns import TestTurn


class Compiler:
    """compile_component with a folder of its own, and the stages it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "compiled"
        self.stages: list[str] = []

    def wasm(self, text: str) -> Path:
        path = self.folder / "some.wasm"
        path.write_bytes(wat2wasm(text))
        return path

    def __call__(self, component: Path, **limits: float) -> CompiledComponent:
        self.stages.clear()
        changed = Limits().replace(**limits)
        return asyncio.run(compile_component(component, self.cache, changed, self.stages.append))

    def problem_of(self, text: str, **limits: float) -> str:
        with pytest.raises(InvalidComponentError) as caught:
            self(self.wasm(text), **limits)
        assert sorted(self.cache.iterdir()) == [], "a component that cannot run leaves nothing"
        return caught.value.message


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(tmp_path)


def bomb(loops: int, variables: int) -> str:
    """Loops inside each other that carry every variable: a few bytes each, and all of them to be kept track of."""
    names = range(variables)
    body = "".join(f"(local.set {at} (i64.add (local.get {at}) (local.get {(at + 1) % variables})))" for at in names)
    opening = "".join(f"(loop (br_if 0 (i64.eqz (local.get {at % variables})))" for at in range(loops))
    return f"(func (local{' i64' * variables}) {opening}{body}{')' * loops})"


@pytest.mark.slow
def test_a_real_guest_compiles_and_describes_itself_and_runs(
    compiler: Compiler, probe_wasm: Path, engine: SandboxEngine
) -> None:
    made = compiler(probe_wasm)

    assert compiler.stages == ["checking", "compiling", "trying"]
    assert made.description["actors"][0]["type"] == "Probe"
    assert made.path.parent == compiler.cache
    turn = TestTurn()
    sandbox = Sandbox.create(engine.load(made.path), turn, memory_bytes_max=64 * MIB)
    assert sandbox.call(turn, b"deposit", b"", False, False) == (True, b"5")
    sandbox.close()
    with components.compiled_once(probe_wasm, compiler.folder):
        pass  # the other tests find what was compiled here


def test_the_token_is_not_in_the_compilers_environment(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    monkeypatch.setenv("HOLDFAST_TOKEN", "token-of-the-test")

    def look(stage: str) -> None:
        for pid in processes.children_of(os.getpid()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # another test's, that has ended
                found.append(Path(f"/proc/{pid}/environ").read_text())

    component = compiler.wasm(minimal_wat())
    with contextlib.suppress(InvalidComponentError):
        asyncio.run(compile_component(component, compiler.cache, Limits(), look))

    assert found
    assert not any("token-of-the-test" in each for each in found)


def test_the_same_component_is_compiled_once(compiler: Compiler) -> None:
    first = compiler(compiler.wasm(minimal_wat()))
    before = first.path.stat()
    second = compiler(compiler.wasm(minimal_wat()))
    after = first.path.stat()

    assert compiler.stages == ["checking", "cached"]
    assert second == first
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_version_of_wasmtime_compiles_anew(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiler(compiler.wasm(minimal_wat()))
    monkeypatch.setattr("holdfast_host.sandbox.components.compiled_store.wasmtime_version", lambda: "50.0.2")
    second = compiler(compiler.wasm(minimal_wat()))

    assert second.path != first.path
    assert "compiling" in compiler.stages


@pytest.mark.parametrize("damage", ["a byte changed", "cut short", "record cut short"])
def test_a_damaged_cache_is_noticed_said_and_replaced(compiler: Compiler, damage: str) -> None:
    first = compiler(compiler.wasm(minimal_wat()))
    whole = first.path.read_bytes()
    record = first.path.with_suffix(".json")
    if damage == "a byte changed":
        first.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "cut short":
        first.path.write_bytes(whole[:-1])
    else:
        record.write_bytes(record.read_bytes()[:10])
    second = compiler(compiler.wasm(minimal_wat()))

    assert compiler.stages == ["checking", "cache damaged", "compiling", "trying"]
    assert second == first
    compiler(compiler.wasm(minimal_wat()))
    assert compiler.stages[-1] == "cached"


@pytest.mark.parametrize("lost", [".cwasm", ".json"])
def test_half_of_what_is_kept_counts_as_nothing(compiler: Compiler, lost: str) -> None:
    first = compiler(compiler.wasm(minimal_wat()))
    first.path.with_suffix(lost).unlink()
    compiler(compiler.wasm(minimal_wat()))

    assert compiler.stages == ["checking", "compiling", "trying"]


@pytest.mark.limit("compile_cpu_s")
def test_a_compile_bomb_ends_at_its_cpu_limit(compiler: Compiler) -> None:
    text = minimal_wat(core_fields=bomb(1500, 1500))

    assert compiler.problem_of(text, compile_cpu_s=1) == "the component takes more than 1 s of CPU to compile"


@pytest.mark.slow
@pytest.mark.limit("compile_memory_bytes")
def test_a_compile_bomb_ends_at_its_memory_limit(compiler: Compiler) -> None:
    text = minimal_wat(core_fields=bomb(1500, 1500))

    assert compiler.problem_of(text, compile_memory_bytes=400 * MIB) == (
        "the component takes more than 400 MiB of memory to compile"
    )


@pytest.mark.limit("compile_timeout_s")
def test_a_compile_bomb_ends_at_its_wall_clock_limit(compiler: Compiler) -> None:
    text = minimal_wat(core_fields=bomb(1500, 1500))

    assert "longer than 0.5 s" in compiler.problem_of(text, compile_timeout_s=0.5)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (
            {"imports": '(import "wasi:http/types@0.2.0" (instance))'},
            "the component imports 'wasi:http/types@0.2.0', which this host does not offer",
        ),
        ({"core_fields": "(memory 2000)"}, "the component failed when it was tried: the guest was stopped: its memory"),
        ({"in_describe": "(unreachable)"}, "the component failed when it was tried: the guest was stopped: it aborted"),
        ({"in_describe": "(i32.store8 (i32.const 16) (i32.const 1))"}, "the component could not describe itself: {"),
        ({"in_describe": "(i32.store (i32.const 24) (i32.const 7))"}, "the component's description is not JSON"),
        ({"in_describe": "(i32.store (i32.const 24) (i32.const 70000))"}, "the guest broke its contract"),
    ],
)
def test_a_component_that_cannot_run_is_told_why(compiler: Compiler, parts: dict[str, str], problem: str) -> None:
    assert problem in compiler.problem_of(minimal_wat(**parts))


@pytest.mark.slow
def test_a_component_that_never_describes_itself_is_ended(compiler: Compiler) -> None:
    problem = compiler.problem_of(minimal_wat(in_describe="(loop $again (br $again))"), compile_timeout_s=20)

    assert problem == "the component does not describe itself within 10 s"


def test_a_file_that_is_no_component_is_told_so(compiler: Compiler, tmp_path: Path) -> None:
    text = tmp_path / "text.wasm"
    text.write_text(minimal_wat())
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(wat2wasm(minimal_wat())[:200])

    with pytest.raises(InvalidComponentError, match="no WebAssembly component"):
        compiler(text)
    with pytest.raises(InvalidComponentError, match="does not compile"):
        compiler(broken)


def test_a_file_that_is_not_there_is_the_hosts_problem(compiler: Compiler, tmp_path: Path) -> None:
    with pytest.raises(HostUnavailableError, match=r"absent\.wasm"):
        compiler(tmp_path / "absent.wasm")


def test_limits_of_today_hold_for_what_was_kept_yesterday(compiler: Compiler) -> None:
    compiler(compiler.wasm(minimal_wat()))
    with pytest.raises(InvalidComponentError, match="the limit is 0"):
        compiler(compiler.wasm(minimal_wat()), methods_max=0)


def test_a_cancelled_compile_leaves_no_process_and_no_file(compiler: Compiler) -> None:
    async def cancel() -> None:
        started = asyncio.Event()
        stages: list[str] = []

        def on_stage(stage: str) -> None:
            stages.append(stage)
            if stage == "compiling":
                started.set()

        component = compiler.wasm(minimal_wat(core_fields=bomb(1500, 1500)))
        task = asyncio.create_task(compile_component(component, compiler.cache, Limits(), on_stage))
        await started.wait()
        assert children_of(os.getpid())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert children_of(os.getpid()) == []
    assert list(compiler.cache.iterdir()) == []


def test_the_compiling_process_dies_with_its_parent(compiler: Compiler, tmp_path: Path) -> None:
    component = compiler.wasm(minimal_wat(core_fields=bomb(1500, 1500)))
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from holdfast_host.core.limits import Limits\n"
        "from holdfast_host.sandbox.components.compile_client import compile_component\n"
        "def on_stage(stage):\n"
        "    if stage == 'compiling':\n"
        "        print(Path('/proc/thread-self/children').read_text(), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(compile_component(Path(sys.argv[1]), Path(sys.argv[2]), Limits(), on_stage))\n"
    )
    done = subprocess.run(
        [sys.executable, script, component, compiler.cache], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    [child] = done.stdout.split()
    assert processes.wait_until_gone([int(child)], timeout_s=10.0) == []


def test_what_a_killed_host_left_half_written_is_removed(compiler: Compiler) -> None:
    compiler.cache.mkdir()
    old, young = compiler.cache / "new-old.cwasm", compiler.cache / "new-young.cwasm"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    compiler(compiler.wasm(minimal_wat()))

    assert (old.exists(), young.exists()) == (False, True)
    assert compiler.cache.stat().st_mode & 0o777 == 0o700


def children_of(pid: int) -> list[int]:
    """The compiling processes that this process has."""
    pids: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            pids += map(int, (task / "children").read_text().split())
    return [each for each in pids if b"components.compile_process" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_the_supervisors_side_loads_no_wasmtime() -> None:
    script = "import sys, holdfast_host.sandbox.components.compile_client; sys.exit('wasmtime' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
