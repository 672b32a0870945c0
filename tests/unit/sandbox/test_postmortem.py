"""Where a guest stood when it was stopped: told by its own memory, whatever else runs and whatever it wrote there."""

from __future__ import annotations

import json
import random
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.core.limits import MIB
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from holdfast_host.sandbox.stops import postmortem, python_frames
from holdfast_host.sandbox.stops.python_frames import (
    COOKIE,
    FRAMES_MAX,
    OFFSETS_BYTES,
    Frame,
    is_authors,
    line_of,
    read_frames,
)
from tests.harness import components
from tests.unit.sandbox.conftest import minimal_wat
from tests.unit.sandbox.turns import TestTurn

ENVIRONMENT = b'{"bindings":{},"variables":{"GREETING":"hello"}}'
SOURCE = (components.PROBE / "src" / "app.py").read_text().splitlines()


@pytest.fixture(scope="module")
def actors(engine: SandboxEngine) -> LoadedComponent:
    return engine.load(components.compiled(components.built(components.PROBE).component))


@pytest.fixture
def activate(actors: LoadedComponent) -> Iterator[Callable[[int], Sandbox]]:
    made: list[Sandbox] = []
    assert actors.post_mortem is not None
    actors.post_mortem._allowance = postmortem.Allowance()

    def activate_one(number: int) -> Sandbox:
        turn = TestTurn(ticks_max=10_000)
        sandbox = Sandbox.create(actors, turn, memory_bytes_max=64 * MIB)
        made.append(sandbox)
        assert sandbox.activate(turn, "Probe", b"n%d" % number, ENVIRONMENT) == (True, b"")
        return sandbox

    yield activate_one
    for sandbox in made:
        sandbox.close()


def stop(sandbox: Sandbox, method: bytes, arguments: bytes = b"", ticks_max: int = 3) -> list[Frame]:
    with pytest.raises(SandboxTrap):
        sandbox.call(TestTurn(ticks_max=ticks_max), method, arguments, False, False)
    return sandbox.frames()


def lines_of(method: str) -> range:
    """Where it stands in the probe's source."""
    first = next(number for number, line in enumerate(SOURCE, 1) if line.startswith(f"    def {method}("))
    return range(first, next(n for n, line in enumerate(SOURCE[first:], first + 1) if line.startswith("    def ")))


@pytest.mark.usefixtures("ticking")
def test_a_turn_that_was_ended_and_one_that_trapped_stood_in_their_own_lines(
    activate: Callable[[int], Sandbox],
) -> None:
    sandboxes = [activate(number) for number in range(8)]
    late, trapped = stop(sandboxes[3], b"spin", b'{"seconds": 20}'), stop(sandboxes[5], b"trap")

    assert (late[0].file, late[0].name) == ("src/probe/app.py", "Probe.spin")
    assert late[0].line in lines_of("spin")
    assert [(frame.file, frame.name) for frame in trapped if is_authors(frame)] == [("src/probe/app.py", "Probe.trap")]
    assert next(frame.line for frame in trapped if is_authors(frame)) in lines_of("trap")
    assert late[-1].file.endswith("/_exports.py")
    assert sandboxes[0].frames() == []  # it stands nowhere


@pytest.mark.usefixtures("ticking")
def test_each_of_many_that_are_stopped_at_once_finds_its_own(activate: Callable[[int], Sandbox]) -> None:
    sandboxes = [activate(number) for number in range(6)]
    methods = [(b"spin", b'{"seconds": 20}'), (b"storage_loop", b'{"seconds": 20}'), (b"overlap", b'{"seconds": 20}')]
    found: dict[int, list[Frame]] = {}

    def run(number: int) -> None:
        found[number] = stop(sandboxes[number], *methods[number % 3], ticks_max=10 + number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(6):
        names = [frame.name for frame in found[number] if frame.file == "src/probe/app.py"]
        assert names == [f"Probe.{methods[number % 3][0].decode()}"]


def test_a_guest_in_another_language_stands_nowhere(
    from_wat: Callable[[str], LoadedComponent], engine: SandboxEngine, tmp_path: Path
) -> None:
    made = from_wat(minimal_wat(in_call="unreachable"))
    compiled = tmp_path / "tiny.cwasm"
    compiled.write_bytes(made.component.serialize())
    sandbox = Sandbox.create(engine.load(compiled), TestTurn(), memory_bytes_max=MIB)

    sandbox.activate(TestTurn(), "Tiny", b"t", b"{}")
    assert stop(sandbox, b"run") == []
    sandbox.close()


def test_looking_takes_no_more_than_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("holdfast_host.sandbox.stops.postmortem.time.monotonic", lambda: now)
    allowance = postmortem.Allowance()

    assert allowance.spend(postmortem.TIME_SAVED_S / 2)
    assert not allowance.spend(postmortem.TIME_SAVED_S)
    now += postmortem.TIME_SAVED_S / 2 / postmortem.TIME_SHARE + 0.1
    assert allowance.spend(0.0)


@pytest.mark.parametrize("environment", [b"{}", b' { "bindings": {} }', ENVIRONMENT])
def test_the_mark_is_one_member_more(environment: bytes) -> None:
    mark = postmortem.new_mark()
    assert json.loads(postmortem.marked(environment, mark)) == {"mark": mark.decode(), **json.loads(environment)}


def _codes(of: CodeType) -> Iterator[CodeType]:
    yield of
    for constant in of.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def test_lines_are_those_that_python_itself_tells() -> None:
    count = 0
    for module in (python_frames, postmortem, random, struct, threading):
        path = Path(str(module.__file__))
        for code in _codes(compile(path.read_text(), str(path), "exec")):
            for number, (line, *_) in enumerate(code.co_positions()):
                assert line_of(code.co_linetable, code.co_firstlineno, number) == (line or 0), (code, number)
                count += 1
    assert count > 5_000


@given(st.binary(max_size=200), st.integers(0, 1 << 32), st.integers(-5, 1 << 32))
def test_a_line_table_of_any_bytes_has_an_end(table: bytes, first_line: int, instruction: int) -> None:
    line_of(table, first_line, instruction)


@given(st.integers(0, 1 << 32), st.integers(0, 4096))
def test_a_memory_that_lies_is_read_for_so_long_and_no_longer(seed: int, small: int) -> None:
    """Pointers anywhere, frames in rings, lengths without end."""
    source, reads = random.Random(seed), 0
    offsets = struct.pack("<8s2Q97Q", COOKIE, 0x030E00F0, 0, *(source.randrange(small + 1) & ~3 for _ in range(97)))
    memory = bytearray(source.randbytes(8192))
    memory[:OFFSETS_BYTES] = offsets[:OFFSETS_BYTES]

    def read(at: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return bytes(memory[at % 4096 : at % 4096 + size])

    try:
        frames = read_frames(read, 0)
    except ValueError:
        frames = []
    assert len(frames) <= FRAMES_MAX
    assert reads < 3_000
    assert all(frame.file.isprintable() and frame.name.isprintable() for frame in frames)
