"""The compiling process: `python -m holdfast_host.sandbox.components.compile_process`, one component, then it ends.

It reads a request (one JSON line) and writes stages and one answer (JSON lines); `compile` is the other side. It limits
itself before it loads wasmtime or looks at the component, and dies with its parent. The guest runs here for the first
time, in the same sandbox as in a worker, with a turn that refuses everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from holdfast_host.core.child_process import die_with_parent
from holdfast_host.core.errors import HostUnavailableError, InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.compiled_store import sha256_of

_TRIAL_CPU_S: Final = 15


def main() -> None:
    """Answer the request on stdin."""
    request = json.loads(sys.stdin.buffer.readline())
    die_with_parent(request["parent"])
    limits = Limits(**request["limits"])
    _limit_process(limits)
    try:
        answer = _compile(Path(request["component"]), Path(request["compiled"]), Path(request["cache"]), limits)
    except InvalidComponentError as error:
        answer = {"invalid": error.message}
    except (OSError, HostUnavailableError) as error:
        answer = {"failed": str(error)}
    _say(answer)
    sys.stdout.flush()
    os._exit(0)  # nothing to tidy: the interpreter's end would free a compiled component piece by piece


def _limit_process(limits: Limits) -> None:
    """CPU and memory of compiling; a signal or a failed allocation ends the process."""
    cpu_s = limits.compile_cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + _TRIAL_CPU_S))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limits.compile_memory_bytes, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _relax_memory() -> None:
    """For the trial: an instance reserves 4 GiB of address space, and its memory has the sandbox's limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _compile(component: Path, compiled: Path, cache: Path, limits: Limits) -> dict[str, Any]:
    from holdfast_host.sandbox.components.machine_code import compile_into
    from holdfast_host.sandbox.components.trial import try_component
    from holdfast_host.sandbox.components.validate import read_component
    from holdfast_host.sandbox.engine import SandboxEngine

    content = read_component(component, limits)
    sha256 = hashlib.sha256(content).hexdigest()
    engine = SandboxEngine(limits)
    made = compile_into(compiled, content, cache, engine, lambda stage: _say({"stage": stage}))
    _relax_memory()
    _say({"stage": "trying"})
    threading.Thread(target=_advance_epoch, args=(engine, limits.slice_s), daemon=True).start()
    return {
        "sha256": sha256,
        "compiled_sha256": sha256_of(compiled),
        "image": made.image and asdict(made.image),
        "memory_added_bytes": made.memory_added_bytes,
        "description": try_component(made.loaded, limits),
    }


def _advance_epoch(engine: Any, slice_s: float) -> None:
    while True:
        time.sleep(slice_s)
        engine.advance_epoch()


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
