"""Calls into a sandbox and nothing else: our private way through wasmtime's C structures beside its public interface.

CPU time, not wall time: a call computes and waits for nothing.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox import marshal
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Outcome, Sandbox
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS
from tests.harness import public_calls
from tests.harness.components import built, compiled
from tests.harness.processes import anonymous_bytes
from tests.unit.sandbox.turns import TestTurn

_METHODS = {"without imports": (b"empty", b""), "deposit": (b"deposit", b'{"amount":5}')}
# One instance stays in the processor's caches; of many, each call finds its own instance cold.
_INSTANCES = (1, 200)
_LIVES = 20
_ALIVE = 100


@dataclass(slots=True)
class _Way:
    """One way across the boundary, with instances that have served a call."""

    component: LoadedComponent
    sandboxes: list[Sandbox]
    turn: TestTurn

    @classmethod
    def open(cls, compiled: Path, *, public: bool) -> _Way:
        """Load, instantiate, construct."""
        component = SandboxEngine(Limits(), public_calls if public else marshal).load(compiled)
        turn = TestTurn(host_calls_max=1 << 60)
        return cls(component, [_activated(component, turn) for _ in range(max(_INSTANCES))], turn)

    def call(self, method: bytes, arguments: bytes, instances: int) -> None:
        """One call to each of so many instances."""
        for sandbox in self.sandboxes[:instances]:
            ok, text = sandbox.call(self.turn, method, arguments, False, False)
            assert ok, text

    def close(self) -> None:
        """Free the instances."""
        for sandbox in self.sandboxes:
            sandbox.close()

    def live(self) -> None:
        """A whole life of an instance: instantiate, construct, one deposit, close."""
        sandbox = _activated(self.component, self.turn)
        assert sandbox.call(self.turn, b"deposit", b'{"amount":5}', False, False)[0]
        sandbox.close()


def run(section: Section, scale: Scale) -> None:
    """Blocks of calls in turns: ours, public, ours, public."""
    component = compiled(built(PEERS / "account").component)
    ours, public = _Way.open(component, public=False), _Way.open(component, public=True)
    rows = []
    for instances, (name, (method, arguments)) in itertools.product(_INSTANCES, _METHODS.items()):
        seen: dict[str, list[float]] = {"ours": [], "public": []}
        times = max(1, scale.sandbox_calls // instances)
        for _ in range(scale.rounds * 2):
            for way, times_us in zip((ours, public), seen.values(), strict=True):
                call = functools.partial(way.call, method, arguments, instances)
                times_us.append(_cpu_us(call, times) / instances)
        title = name if instances == 1 else f"{name}, {instances} instances in turns"
        rows.append(_row(section, title, name if instances == 1 else f"{name}_{instances}", seen))
    seen = {"ours": [], "public": []}
    for _ in range(scale.rounds):
        for way, times_us in zip((ours, public), seen.values(), strict=True):
            times_us.append(_cpu_us(way.live, _LIVES))
    rows.append(_row(section, "instantiate, construct, first deposit, close", "instantiate", seen))
    memory = _memory_by_step(section, ours.component)
    ours.close()
    public.close()
    section.table(
        "inside the sandbox, CPU time",
        ["call", "our way, us", "public interface, us", "ours against public"],
        rows,
    )
    section.table("private memory of one activation, by step", ["after", "MiB in all", "MiB of this step"], memory)


def _row(section: Section, title: str, name: str, seen: dict[str, list[float]]) -> list[object]:
    key = f"sandbox/{name.replace(' ', '_')}"
    ratio = [a / b for a, b in zip(seen["ours"], seen["public"], strict=True)]
    return [
        title,
        section.figure(f"{key}/ours_us", seen["ours"]),
        section.figure(f"{key}/public_us", seen["public"]),
        f"{section.figure(f'{key}/ratio', ratio)}x",
    ]


def _memory_by_step(section: Section, component: LoadedComponent) -> list[list[object]]:
    """What many instances keep for themselves as they live on, each step done by all before the next."""
    turn = TestTurn(host_calls_max=1 << 60)
    before_bytes = last_bytes = anonymous_bytes(os.getpid())
    sandboxes = [Sandbox.create(component, turn, memory_bytes_max=64 * MIB) for _ in range(_ALIVE)]
    steps: dict[str, Callable[[Sandbox], Outcome | None]] = {
        "instantiate": lambda _: None,
        "construct": lambda sandbox: sandbox.activate(turn, "Account", b"a1", b"{}"),
        "first deposit": lambda sandbox: sandbox.call(turn, b"deposit", b'{"amount":5}', False, False),
        "100 deposits more": lambda sandbox: [
            sandbox.call(turn, b"deposit", b'{"amount":5}', False, False) for _ in range(100)
        ][-1],
    }
    rows: list[list[object]] = []
    for name, step in steps.items():
        for sandbox in sandboxes:
            outcome = step(sandbox)
            assert outcome is None or outcome[0], outcome[1]
        now_bytes = anonymous_bytes(os.getpid())
        whole = section.figure(f"sandbox/memory/{name}/mib", [(now_bytes - before_bytes) / _ALIVE / MIB])
        rows.append([name, whole, f"{(now_bytes - last_bytes) / _ALIVE / MIB:.2f}"])
        last_bytes = now_bytes
    for sandbox in sandboxes:
        sandbox.close()
    return rows


def _cpu_us(call: Callable[[], None], times: int) -> float:
    for _ in range(max(1, times // 10)):
        call()
    began_s = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began_s) / times * 1e6


def _activated(component: LoadedComponent, turn: TestTurn) -> Sandbox:
    sandbox = Sandbox.create(component, turn, memory_bytes_max=64 * MIB)
    ok, text = sandbox.activate(turn, "Account", b"a1", b"{}")
    assert ok, text
    return sandbox
