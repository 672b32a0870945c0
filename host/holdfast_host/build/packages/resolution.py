"""A project's dependencies: found on the author's index, downloaded as wheels, and read. No code of theirs is run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from holdfast_host.build.errors import BuildError
from holdfast_host.build.packages.pip_index import Index, Release, ResolutionError, is_native, reason
from holdfast_host.build.packages.requirements import Requirements
from holdfast_host.build.packages.wheel_archives import check_size, check_wheel, files_of, without_native_parts
from holdfast_host.build.sources import read_own


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What goes into a component.

    Attributes:
        files: By path below site-packages.
        versions: By name, in order.
        warnings: What the author would not expect, one sentence each.
    """

    files: dict[str, bytes]
    versions: dict[str, str]
    warnings: list[str]


def gather_dependencies(project: Path, wanted: Requirements, folder: Path) -> Dependencies:
    """Find and download what a project asks for.

    Args:
        project: Its directory.
        wanted: What it asks for.
        folder: A throwaway directory, made here.

    Raises:
        BuildError: Something cannot be found, has native code and nothing in its place, or must be built.
    """
    index = Index(folder)
    own = [_copied(project, wheel, folder) for wheel in wanted.wheels]
    hashed = any(" --hash=" in line for line in wanted.lines)  # then pip wants them of all
    lines = [*wanted.lines, *(f"{each} --hash=sha256:{_sha256(each)}" if hashed else str(each) for each in own)]
    with _explained(index):
        newest = index.resolve(lines, wanted.constraints)
    if any(each.native for each in newest):
        wheels, warnings = _without_native_code(index, lines, wanted.constraints, newest)
    else:
        with _explained(index):
            wheels, warnings = index.download(lines, [f"{each.name}=={each.version}" for each in newest]), []
    files: dict[str, bytes] = {}
    for wheel in wheels:
        files.update(files_of(wheel))
        check_size("what the project depends on", sum(map(len, files.values())), len(files))
    return Dependencies(files, {name_of(wheel): version_of(wheel) for wheel in wheels}, warnings)


def _copied(project: Path, wheel: Path, folder: Path) -> Path:
    """A wheel of the project, where pip may read it."""
    if is_native(wheel.name):
        raise BuildError(f"{wheel.relative_to(project)} is for some machines only: a sandbox runs pure Python")
    copy = folder / "own" / wheel.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(read_own(project, wheel))
    check_wheel(copy)  # before pip unpacks what it needs of it
    return copy


def _without_native_code(
    index: Index, lines: Sequence[str], constraints: Sequence[str], newest: Sequence[Release]
) -> tuple[list[Path], list[str]]:
    """Wheels of pure Python where the newest releases are not, and what the author should know of them."""
    native = [each for each in newest if each.native]
    stuck = []
    lines = list(lines)
    for each, wheel in index.native_wheels(native):
        pure = without_native_parts(wheel, index.wheels) if wheel is not None else None
        if wheel is None or pure is None:
            stuck.append(each)
        else:
            lines = [_with_hash_of(pure, wheel, line) for line in lines]
    try:
        wheels = index.download(lines, constraints)
    except ResolutionError as error:
        stuck = [each for each in stuck if not index.has_pure(each)]
        no_pure = [f"{each.name} {each.version}{_needed_by(each, newest)}" for each in stuck]
        raise BuildError(reason(str(error), index, no_pure), str(error)) from None
    taken = {name_of(wheel): wheel for wheel in wheels}
    own = {wheel.name for wheel in index.wheels.iterdir()}
    warnings = [
        f"{name_of(wheel)} {version_of(wheel)} is taken without its native part, in whose place it has slower Python"
        for wheel in wheels
        if wheel.name in own
    ]
    return wheels, [*_older(taken, newest, stuck), *warnings]


def _with_hash_of(pure: Path, native: Path, line: str) -> str:
    """A requirement with hashes that allows a native wheel allows what is left of it, too."""
    if f"--hash=sha256:{_sha256(native)}" not in line.split():
        return line
    return f"{line} --hash=sha256:{_sha256(pure)}"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _older(taken: Mapping[str, Path], newest: Sequence[Release], stuck: Sequence[Release]) -> Iterator[str]:
    """What was taken in an older release, and why."""
    releases = {canonicalize_name(each.name): each for each in newest}
    for name, best in releases.items():
        wheel = taken.get(name)
        if wheel is None or Version(version_of(wheel)) >= Version(best.version):
            continue
        reached = [each.name for each in stuck if _reaches(name, canonicalize_name(each.name), releases)]
        yield (
            f"{name} {version_of(wheel)} is an older release: {best.version} needs native code"
            f" ({', '.join(reached or [each.name for each in stuck])}), and a sandbox runs pure Python"
        )


def _reaches(start: NormalizedName, goal: NormalizedName, releases: Mapping[NormalizedName, Release]) -> bool:
    """Whether one needs the other, directly or not."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in seen and name in releases:
            seen.add(name)
            waiting += releases[name].needs
    return goal in seen


def _needed_by(release: Release, releases: Iterable[Release]) -> str:
    name = canonicalize_name(release.name)
    users = [each.name for each in releases if name in each.needs]
    return f" (needed by {', '.join(users)})" if users else ""


def name_of(wheel: Path) -> str:
    """The name of a wheel's package, as requirements spell it."""
    return str(parse_wheel_filename(wheel.name)[0])


def version_of(wheel: Path) -> str:
    """Its version."""
    return str(parse_wheel_filename(wheel.name)[1])


@contextmanager
def _explained(index: Index) -> Iterator[None]:
    """Turn what pip says into one sentence."""
    try:
        yield
    except ResolutionError as error:
        raise BuildError(reason(str(error), index, ()), str(error)) from None
