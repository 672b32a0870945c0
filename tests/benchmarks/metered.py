"""A host whose worker counts the CPU time of its commits and of its guests: what a sampler cannot tell from waiting.

`python -m tests.benchmarks.metered host FILE serve ...` is `holdfast serve` with such workers, which run
`... metered worker FILE FD`. The counters lie in FILE, mapped by all: nanoseconds as u64, in the order of METERS. A
thread's clock stands still while it waits for the disk; reading it twice costs a call about half a microsecond.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

METERS: Final = ("commit", "sandbox")
_WORD_BYTES: Final = 8
PROJECT: Final = Path(__file__).resolve().parents[2]


def command(file: Path, python: str = sys.executable) -> tuple[str, ...]:
    """What runs such a host, for `HostProcess(command=...)`, with the Holdfast of that Python; makes the file."""
    file.write_bytes(bytes(_WORD_BYTES * len(METERS)))
    return ("env", f"PYTHONPATH={PROJECT}", python, "-m", "tests.benchmarks.metered", "host", str(file))


def read(file: Path) -> dict[str, float]:
    """Seconds counted so far."""
    data = file.read_bytes()
    words = [data[at : at + _WORD_BYTES] for at in range(0, len(data), _WORD_BYTES)]
    return {name: int.from_bytes(word, sys.byteorder) / 1e9 for name, word in zip(METERS, words, strict=True)}


def _be_host(file: str) -> None:
    from holdfast_host.cli.main import main as holdfast
    from holdfast_host.supervisor.processes.child import Programs

    worker = (sys.executable, "-P", "-m", "tests.benchmarks.metered", "worker", file)
    defaults = Programs()
    Programs.__init__.__defaults__ = (worker, defaults.front, defaults.courier)
    holdfast()


def _be_worker(file: str) -> None:
    from holdfast_host.sandbox.instance import Sandbox
    from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
    from holdfast_host.worker.main import main as worker

    with Path(file).open("r+b") as opened:
        words = memoryview(mmap.mmap(opened.fileno(), 0)).cast("Q")
    _meter(LmdbStore, "commit", words, METERS.index("commit"))
    _meter(Sandbox, "_enter", words, METERS.index("sandbox"))
    worker()


def _meter(owner: type, name: str, words: memoryview[int], place: int) -> None:
    """Count the CPU time of a method, on whichever thread it runs."""
    method: Callable[..., Any] = getattr(owner, name)
    clock = time.thread_time_ns

    def metered(*arguments: Any) -> Any:
        began = clock()
        try:
            return method(*arguments)
        finally:
            words[place] += clock() - began

    setattr(owner, name, metered)


def main() -> None:
    """Be the one or the other."""
    what, file = sys.argv[1:3]
    del sys.argv[1:3]
    (_be_host if what == "host" else _be_worker)(file)


if __name__ == "__main__":
    main()
