"""Goes on from a base: `python -I -m holdfast_host.build.process.activate FACTS`, in place of `launch`.

FACTS is what `launch` is given, and: `compiled` (the file of the base), `added_bytes` (by how much a sandbox of it
starts larger than it asks), `environment` (a file: what it is activated with), `out` (where its memory goes), `said`
(where the lines go that it says). The base runs in the sandbox that hosts have, within the walls of componentize-py.

It ends with 0 where the memory is that of a component, else with NEEDS_WHOLE: sources that do not load, that look for
files or that take more than a sandbox has want a build without a base, which says why.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from holdfast_host.build.process.launch import limit_process, wall_in
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.trial import RefusingTurn
from holdfast_host.sandbox.engine import SandboxEngine
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap

NEEDS_WHOLE: Final = 3
LINES_BYTES_MAX: Final = 64 << 20

_PREOPENS: Final = "wasi:filesystem/preopens@"
_ANSWER: Final = "get-directories"


class _Turn(RefusingTurn):
    """Writes down what the base says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._left = LINES_BYTES_MAX

    def tick(self) -> bool:
        return True  # the clock stands, and no epoch advances: the process has limits of its own

    def log(self, level: str, text: str) -> None:
        self._left -= len(text)
        if self._left >= 0:
            self.lines.append(text)


def main() -> int:
    """Set the limits, fix the inputs, then activate the base and write its memory out."""
    facts = json.loads(sys.argv[1])
    limit_process(facts)
    environment = Path(facts["environment"]).read_bytes()
    limits = Limits()
    engine = SandboxEngine(limits)
    with open("/proc/self/maps", "rb", buffering=0) as maps:  # the walls let nobody open it later
        wall_in(facts, facts["readable"])
        loaded = engine.load(Path(facts["compiled"]), facts["added_bytes"])
        asked = _watch_files(engine, loaded.component)
        turn = _Turn()
        sandbox = Sandbox.create(loaded, turn, memory_bytes_max=limits.memory_bytes_max)
        try:
            good, _ = sandbox.activate(turn, "", b"", environment)
        except SandboxTrap:
            return NEEDS_WHOLE
        if not good or asked:
            return NEEDS_WHOLE
        begins, ends = _memory(maps, os.fsencode(facts["compiled"]))
        Path(facts["out"]).write_bytes(ctypes.string_at(begins, ends - begins))
    Path(facts["said"]).write_text("\n".join(turn.lines))
    return 0


def _watch_files(engine: SandboxEngine, component: Any) -> list[None]:
    """Have a sandbox find no directory, and note that it looked: whoever opens, lists or looks at a file does first."""
    asked: list[None] = []

    def directories(*_: Any) -> list[Any]:
        asked.append(None)
        return []

    for name in component.type.imports(engine.engine):
        if name.startswith(_PREOPENS):
            with engine.linker.root() as root, root.add_instance(name) as instance:
                instance.add_func(_ANSWER, directories)
    return asked


def _memory(maps: Any, compiled: bytes) -> tuple[int, int]:
    """From where to where the memory of the only sandbox lies, whose first content is mapped from the compiled file."""
    text = maps.read(1 << 24)
    while more := maps.read(1 << 24):
        text += more
    mapped = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) rw-p .*?(?: (/.*))?$")
    found: list[tuple[int, int, bool]] = []  # what may be written, joined where it is in one piece
    for line in text.splitlines():
        match = mapped.match(line)
        if match is None:
            continue
        start, end, own = int(match[1], 16), int(match[2], 16), match[3] == compiled
        if found and found[-1][1] == start:
            start, _, before = found.pop()
            own = own or before
        found.append((start, end, own))
    [(begins, ends)] = [(start, end) for start, end, own in found if own]
    return begins, ends


if __name__ == "__main__":
    os._exit(main())  # nothing to tidy: the end of the engine would free a component piece by piece
