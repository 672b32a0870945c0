"""What componentize-py made of the same inputs before: a build of what has not changed takes 0.2 s instead of 9.

A build has no input but what lies in its throwaway directory, the contract, componentize-py and the code that runs it
(what else it could read is fixed, see `process.fixed_inputs`), so a hash of these names what comes out. What came
out is kept for this user, in `$XDG_CACHE_HOME/holdfast/builds` or `~/.cache/holdfast/builds`, as it was before it is
rewritten; nothing is kept of a build that failed. The cache is no part of a build: where it cannot be read or written,
or holds other bytes than were written, a build is as it is without.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from holdfast_host.build.sources import source_files, wit_directory

KEPT_MAX: Final = 16  # some 25 MB each; the one that was not used for the longest time goes first

_PARTS: Final = ("out.wasm", "refused", "entry/report.json", "entry/objects")  # what a build leaves in its directory
_RECORD: Final = "record.json"  # the SHA-256 of each
_RUNNER: Final = Path(__file__).parent / "process"


class KeptBuild:
    """The place of one build in the cache.

    Args:
        work: the throwaway directory, laid out, in which nothing has run yet.
        inputs: a hash of what lies there.
    """

    def __init__(self, work: Path, inputs: str) -> None:
        self._work = work
        self._folder = cache_directory() / "builds" / _key(inputs)

    def restore(self) -> bool:
        """Put what came out before into the throwaway directory; False where that is not there, or was damaged."""
        with suppress(OSError, ValueError):
            digests = json.loads((self._folder / _RECORD).read_bytes())
            contents = {part: (self._folder / _name(part)).read_bytes() for part in _PARTS}
            if digests == _digests(contents):
                for part, content in contents.items():
                    (self._work / part).write_bytes(content)
                os.utime(self._folder)
                return True
        shutil.rmtree(self._folder, ignore_errors=True)  # to make room for the build that comes now
        return False

    def keep(self) -> None:
        """Keep what has come out, of a build that is good and was looked at: its files are files of its own."""
        with suppress(OSError):
            cache = self._folder.parent
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            contents = {part: (self._work / part).read_bytes() for part in _PARTS}
            fresh = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
            try:
                for part, content in contents.items():
                    (fresh / _name(part)).write_bytes(content)
                (fresh / _RECORD).write_text(json.dumps(_digests(contents)))
                fresh.rename(self._folder)  # refused where another build of the same was faster
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            _forget_the_oldest(cache)


def cache_directory() -> Path:
    """Where builds keep what they use again, as XDG has it; where this user has no home, a place that is not there."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return Path(base if os.path.isabs(base) else os.devnull) / "holdfast"


def _key(inputs: str) -> str:
    """A name for all that goes in."""
    return hashlib.sha256(f"{tools_digest()} {inputs}".encode()).hexdigest()[:32]


def tools_digest() -> str:
    """A hash of what builds: componentize-py, what runs it, and the contract."""
    digest = hashlib.sha256(f"{version('componentize-py')} ".encode())
    for path in _files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for folder in (wit_directory(), _RUNNER):
        yield from source_files(folder)


def _name(part: str) -> str:
    return part.rpartition("/")[2]


def _digests(contents: dict[str, bytes]) -> dict[str, str]:
    return {part: hashlib.sha256(content).hexdigest() for part, content in contents.items()}


def _forget_the_oldest(cache: Path) -> None:
    """Those past the number that are kept, and what a dead build had begun."""
    last_used = sorted(cache.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in last_used[KEPT_MAX:]:
        shutil.rmtree(entry, ignore_errors=True)
