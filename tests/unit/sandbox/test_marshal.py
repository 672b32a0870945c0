"""The fast way across the boundary does what the public interface does, and gives back what it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_host.core.errors import ConfigurationError, LimitError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox import c_api, marshal
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox
from holdfast_host.sandbox.settings import WASMTIME_PINNED, wasmtime_version
from tests.harness import public_calls
from tests.harness.repeats import repeats
from tests.unit.sandbox.turns import TestTurn

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = TEXTS.map(json.dumps)

IMPORTS = st.one_of(
    st.tuples(st.just("storage"), st.just("put"), TEXTS, VALUES),
    st.tuples(st.just("storage"), st.just("get"), TEXTS),
    st.tuples(st.just("storage"), st.just("delete"), TEXTS),
    st.tuples(st.just("storage"), st.just("get_many"), st.lists(TEXTS).map(json.dumps)),
    st.tuples(
        st.just("storage"),
        st.just("list"),
        TEXTS,
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.booleans(),
        st.integers(0, (1 << 32) - 1),
    ),
    st.tuples(st.just("alarms"), st.just("set"), st.integers(-(1 << 63), (1 << 63) - 1)),
    st.tuples(st.just("alarms"), st.just("get")),
    st.tuples(st.just("alarms"), st.just("delete")),
    st.tuples(st.just("calls"), st.just("call"), TEXTS, TEXTS, TEXTS, VALUES),
    st.tuples(st.just("calls"), st.just("fetch"), TEXTS, TEXTS, VALUES),
    st.tuples(st.just("log"), st.just("write"), TEXTS, TEXTS),
)


class Pair:
    """The same component behind both ways, each with its own turn."""

    def __init__(self, compiled: Path) -> None:
        self.turns = TestTurn(), TestTurn()
        self.engines = SandboxEngine(Limits()), SandboxEngine(Limits(), public_calls)
        self.sandboxes = [
            Sandbox.create(engine.load(compiled), turn, memory_bytes_max=64 * MIB)
            for engine, turn in zip(self.engines, self.turns, strict=True)
        ]


@pytest.fixture(scope="module")
def pair(probe_compiled: Path) -> Iterator[Pair]:
    pair = Pair(probe_compiled)
    yield pair
    for sandbox in pair.sandboxes:
        sandbox.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(imports=st.lists(IMPORTS, max_size=8), name=TEXTS)
def test_both_ways_carry_the_same_values(pair: Pair, imports: list[tuple[Any, ...]], name: str) -> None:
    arguments = json.dumps(imports).encode()
    seen: list[Any] = []
    for sandbox, turn in zip(pair.sandboxes, pair.turns, strict=True):
        turn.dictionary.kept.clear()
        turn.dictionary.asked.clear()
        turn.lines.clear()
        turn.on_call = lambda binding, name, method, text: json.dumps([binding, name, method, text.decode()]).encode()
        outcomes = [
            sandbox.call(turn, b"imports", arguments, True, False),
            sandbox.call(turn, b"echo", name.encode(), False, True),
            sandbox.activate(turn, "Probe", name.encode(), b"{}"),
            sandbox.call(turn, name.encode() or b"?", b"", False, True),
        ]
        seen.append((outcomes, turn.dictionary.kept, turn.dictionary.asked, turn.dictionary.alarm_us, list(turn.lines)))

    assert seen[0] == seen[1]


def test_texts_of_every_length_come_back_whole_one_after_another(pair: Pair) -> None:
    sizes = [5_000, 0, 4_096, 1, 4_097, 4_095, MIB, 2]
    for sandbox, turn in zip(pair.sandboxes, pair.turns, strict=True):
        for size in sizes:
            turn.on_call = lambda *_, size=size: b"c" * size
            imports = b'[["calls","call","B","n","m","1"]]'

            assert sandbox.call(turn, b"echo", b"x" * size, False, False) == (True, b"x" * size)
            assert sandbox.call(turn, b"imports", imports, False, False) == (
                True,
                json.dumps([["ok", "c" * size]]).encode(),
            )


@pytest.mark.parametrize("way", [marshal, public_calls], ids=["marshal", "public_calls"])
def test_traps_and_errors_are_the_same_both_ways(probe_compiled: Path, way: ModuleType) -> None:
    component = SandboxEngine(Limits(), way).load(probe_compiled)

    def refuse(_key: bytes) -> bytes:
        raise LimitError("too long")

    kinds = []
    for method, host_calls_max in (("panic", 10), ("exit", 10), ("hostloop", 10), ("deposit", 10)):
        turn = TestTurn(host_calls_max=host_calls_max)
        if method == "deposit":
            turn.dictionary.get = int  # type: ignore[method-assign, assignment]
        sandbox = Sandbox.create(component, turn, memory_bytes_max=64 * MIB)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is compared below
            sandbox.call(turn, method.encode(), b"", False, False)
        kinds.append(getattr(caught.value, "kind", None))
        sandbox.close()
    turn = TestTurn()
    turn.dictionary.get = refuse  # type: ignore[method-assign, assignment]
    sandbox = Sandbox.create(component, turn, memory_bytes_max=64 * MIB)
    ok, text = sandbox.call(turn, b"imports", b'[["storage","get","k"]]', False, False)
    sandbox.close()

    assert kinds == ["unreachable", "exit", "ended", "fault"]
    assert ok
    assert b"LimitError" in text


def test_another_wasmtime_than_the_one_whose_structures_are_filled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wasmtime_version() == WASMTIME_PINNED
    monkeypatch.setattr("holdfast_host.sandbox.engine.wasmtime_version", lambda: "51.0.0")

    with pytest.raises(ConfigurationError, match=rf"wasmtime 51\.0\.0 is installed.*{re.escape(WASMTIME_PINNED)}"):
        SandboxEngine(Limits())


def test_what_wasmtime_keeps_private_is_named_in_one_file() -> None:
    """Its modules with an underscore, and members of its objects; ruff's SLF001 refuses those elsewhere."""
    named = re.compile(r"wasmtime\._|import.*\b_(ffi|bindings)\b|noqa: SLF001")
    folder = Path(c_api.__file__).parent
    found = {path.name for path in folder.rglob("*.py") if named.search(path.read_text())}

    assert found == {"c_api.py"}


def test_the_pin_is_the_projects() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()

    assert re.findall(r'"wasmtime==([^"]+)"', project) == [WASMTIME_PINNED]


def anonymous_kib() -> int:
    """Memory of this process that belongs to no file."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise AssertionError("no Anonymous in smaps_rollup")


@pytest.mark.slow
@pytest.mark.repeats
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (b"deposit", b""),
        (b"echo", b"x" * 1000),
        (b"echo", b"x" * 5000),
        (b"fail", b""),
        (
            b"imports",
            json.dumps(
                [
                    ["storage", "list", "p" * 500, "s" * 500, None, "e", True, 5],
                    ["storage", "delete", "absent"],
                    ["alarms", "get"],
                    ["calls", "fetch", "B", "n", "r" * 500],
                    ["storage", "get", "long"],
                ]
            ).encode(),
        ),
    ],
)
def test_many_thousand_calls_keep_no_memory(sandbox: Sandbox, turn: TestTurn, method: bytes, arguments: bytes) -> None:
    """A text of 500 bytes that was forgotten once per call would show as 10 MB, or as 50."""
    turn.dictionary.kept[b"long"] = b'"' + b"v" * 1000 + b'"'
    calls = repeats(5_000, 20_000) if method == b"imports" else repeats(20_000, 100_000)
    turn.host_calls_max = 10 * calls

    def run(times: int) -> None:
        for _ in range(times):
            sandbox.call(turn, method, arguments, False, False)
            turn.dictionary.asked.clear()

    run(calls // 10)
    before = anonymous_kib()
    run(calls)

    assert anonymous_kib() - before < 3_000


@pytest.mark.slow
def test_a_thousand_sandboxes_take_their_last_results_with_them(probe: LoadedComponent, turn: TestTurn) -> None:
    """One that was forgotten by each would show as 4 MB."""

    def live(times: int) -> None:
        for _ in range(times):
            sandbox = Sandbox.create(probe, turn, memory_bytes_max=64 * MIB)
            sandbox.call(turn, b"echo", b"x" * 4_000, False, False)
            sandbox.close()

    live(200)
    before = anonymous_kib()
    live(1_000)

    assert anonymous_kib() - before < 2_000
