"""Development components of a project, and what of it has changed: for `holdfast dev`.

A development component is built when something changes that only a build can take in (dependencies, the SDK, files that
are no Python), and kept in the project's `build/` until then. Python sources travel beside it, as text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from holdfast_host.build.errors import BuildError
from holdfast_host.build.packages.requirements import REQUIREMENTS_FILE, requirements_of
from holdfast_host.build.project import OnStage, build_for_development
from holdfast_host.build.sources import import_root, read_own, sdk_directory, source_files, wit_directory
from holdfast_host.core.manifest import MANIFEST_FILE, Manifest
from holdfast_host.core.project_manifest import read_manifest

SOURCES_BYTES_MAX: Final = 3 << 20  # the host takes 4 MiB of JSON

Stamp = tuple[int, int, int]  # what changes when a file does: time, size, inode


@dataclass(frozen=True, slots=True)
class DevelopmentComponent:
    """A component on disk; `baked` are the sources that it runs when it is given none."""

    path: Path
    baked: str


class ProjectFiles:
    """The files of one project that a component is made from. For one thread.

    Raises (when made):
        InvalidManifestError, BuildError: the manifest breaks a rule, or its main module is not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.manifest: Manifest = read_manifest(self.directory)
        if self.manifest.main is None:
            raise BuildError('holdfast.toml has no main: add main = "src/app.py"')
        self.root, self._module = import_root(self.directory, self.manifest.main)

    def stamps(self) -> dict[Path, Stamp]:
        """What is there now; equal as long as nobody has saved anything."""
        own = (self.directory / MANIFEST_FILE, self.directory / REQUIREMENTS_FILE)
        found: dict[Path, Stamp] = {}
        for path in (*own, *source_files(self.root)):
            try:
                stat = path.stat()
            except OSError:  # gone, or between two steps of an editor's save
                continue
            found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found

    def only_sources(self, changed: set[Path]) -> bool:
        """True when a component built before can run what has changed."""
        return all(path.suffix == ".py" and path.is_relative_to(self.root) for path in changed)

    def sources(self) -> dict[str, Any]:
        """What a development component is given: see `wit/instance.wit` for the host, the SDK for what stands in it.

        Raises:
            BuildError: a file is no UTF-8, a link leads out of the project, or all are too large.
        """
        files: dict[str, str] = {}
        for path in source_files(self.root):
            if path.suffix == ".py":
                try:
                    files[path.relative_to(self.root).as_posix()] = read_own(self.directory, path).decode("utf-8")
                except UnicodeDecodeError as error:
                    raise BuildError(f"{path.relative_to(self.directory)}: {error}") from None
                except FileNotFoundError:
                    continue
        total = sum(map(len, files.values()))
        if total > SOURCES_BYTES_MAX:
            raise BuildError(
                f"the sources have {total} characters, the limit of holdfast dev is {SOURCES_BYTES_MAX}: "
                "keep what is no source out of the directory of main"
            )
        return {"main": self._module, "root": str(self.root.relative_to(self.directory)), "files": files}

    def component(self, on_stage: OnStage, *, afresh: bool = False) -> DevelopmentComponent:
        """The development component; the kept one where it can still be used.

        Args:
            on_stage: told what a build does.
            afresh: build in any case.

        Raises:
            BuildError: it cannot be built.
        """
        kept = self.directory / "build" / f"{self.manifest.name}.dev.wasm"
        record = kept.with_suffix(".json")
        key = self._key()
        if not afresh and kept.is_file():
            facts = _read_record(record)
            if facts.get("key") == key:
                return DevelopmentComponent(kept, str(facts.get("baked")))
        record.unlink(missing_ok=True)
        baked = fingerprint(self.sources())
        built = build_for_development(self.directory, on_stage)
        record.write_text(json.dumps({"key": key, "baked": baked}))
        return DevelopmentComponent(built.path, baked)

    def _key(self) -> str:
        """A hash of all that goes into a development component and does not travel beside it."""
        digest = hashlib.sha256(f"{version('holdfast')} {version('componentize-py')}".encode())
        wanted = requirements_of(self.directory, self.manifest)
        digest.update(repr((self.manifest.name, self.manifest.main, wanted.lines, wanted.constraints)).encode())
        further = [path for path in source_files(self.root) if path.suffix != ".py"]
        further += wanted.wheels
        for path in further:
            digest.update(str(path).encode() + b"\0" + read_own(self.directory, path) + b"\0")
        for path in (path for folder in (sdk_directory(), wit_directory()) for path in source_files(folder)):
            digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()


def fingerprint(sources: Mapping[str, Any]) -> str:
    """A hash of sources."""
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def _read_record(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
