"""`python [-O] unchecked.py FOLDER PUBLIC`: call each component of a folder as if it were checked; what they answer.

PUBLIC is 1 for wasmtime's public interface. A line each: the file's name, and the answer or the kind of the trap.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wasmtime.component import Component

sys.path.insert(0, str(Path(__file__).parents[3]))

from holdfast_host.core.limits import Limits
from holdfast_host.sandbox import marshal
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from tests.harness import public_calls
from tests.unit.sandbox.turns import TestTurn


def main() -> None:
    folder, public = Path(sys.argv[1]), sys.argv[2] == "1"
    engine = SandboxEngine(Limits(), public_calls if public else marshal)
    for path in sorted(folder.iterdir(), key=lambda each: each.name == "good"):
        loaded = LoadedComponent.__new__(LoadedComponent)
        loaded.engine, loaded.component = engine, Component(engine.engine, path.read_text())
        loaded.post_mortem, loaded.memory_added_bytes = None, 0
        interface = loaded.component.get_export_index("holdfast:actor/instance@1.0.0")
        found = {name: loaded.component.get_export_index(name, interface) for name in ("describe", "activate", "call")}
        loaded.exports = {name: index for name, index in found.items() if index is not None}
        turn = TestTurn()
        sandbox = Sandbox.create(loaded, turn, memory_bytes_max=1 << 20)
        try:
            _, answer = sandbox.call(turn, b"run", b"{}", False, False)
            print(f"{path.name}: {answer.decode()}")
        except SandboxTrap as trap:
            print(f"{path.name}: {trap.kind}")
        sandbox.close()


if __name__ == "__main__":
    main()
