"""The shim that makes system calls fail: compiled when it is needed, told what to do through a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness.components import CACHE

KILL, KILL_PARENT_TOO, STOP = 1009, 1010, 1011
_SOURCE = Path(__file__).with_name("shim.c")


class NoCompilerError(Exception):
    """These tests compile a small C file, and there is nothing to compile it with."""


def library() -> Path:
    """The compiled shim, kept until its source changes.

    Raises:
        NoCompilerError: names the package to install.
    """
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    kept = CACHE.with_name("holdfast-shims") / f"shim-{digest}.so"
    if kept.exists():
        return kept
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError("the fault tests need a C compiler: install the package gcc (or clang) with libc6-dev")
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(fresh), str(_SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoCompilerError(f"the shim does not compile; is libc6-dev installed?\n{done.stderr}")
    fresh.replace(kept)
    return kept


@dataclass(frozen=True, slots=True)
class Faults:
    """What is to fail in the processes that were started with `environment`; a file that they read."""

    rules: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a host that obeys."""
        return {"LD_PRELOAD": str(library()), "HOLDFAST_FAULTS": str(self.rules)}

    def fail(self, what: str, where: str, code: int, *, after: int = 0, count: int = -1) -> None:
        """From now on `what` (write, sync, any) on `where` fails with an errno.

        Args:
            what: which system calls.
            where: `data`, `meta` (the descriptor that is synced by writing), or a part of the path.
            code: the errno; 0 makes writes short.
            after: so many succeed first.
            count: so many fail, -1 for all.
        """
        self._write(f"{what} {where} {after} {count} {code}\n")

    def kill(self, where: str, *, after: int, parent: bool) -> None:
        """Kill the process that makes the next call but `after` on `where`, its parent too; then the rules are gone."""
        self._write(f"any {where} {after} 1 {KILL_PARENT_TOO if parent else KILL}\n")

    def stop(self, where: str, *, after: int) -> None:
        """SIGSTOP the process that makes the next call but `after` on `where`; then the rules are gone."""
        self._write(f"any {where} {after} 1 {STOP}\n")

    @property
    def are_over(self) -> bool:
        """Whether somebody was killed or stopped."""
        return not self.rules.exists()

    def heal(self) -> None:
        """Nothing fails any more."""
        self._write("")

    def _write(self, text: str) -> None:
        fresh = self.rules.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.rules)


@dataclass(frozen=True, slots=True)
class WallClock:
    """The wall clock of the processes that were started with `environment`; the monotonic one is left alone."""

    offset: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a host that lives by this clock."""
        self.jump(0.0)
        return {"LD_PRELOAD": str(library()), "HOLDFAST_CLOCK": str(self.offset)}

    def jump(self, seconds: float) -> None:
        """From now on it is so far ahead of the machine's."""
        with self.offset.open("r+b" if self.offset.exists() else "w+b") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))


@dataclass(frozen=True, slots=True)
class Recording:
    """What the processes that were started with `environment` wrote to files below a folder."""

    folder: Path
    below: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a host that is recorded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return {
            "LD_PRELOAD": str(library()),
            "HOLDFAST_RECORD": str(self.folder),
            "HOLDFAST_RECORD_BELOW": str(self.below),
        }
