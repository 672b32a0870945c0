"""What a project asks for: names of packages, and wheels that lie in it.

Nothing that pip is handed can lead to a source tree or an address: building what is there would run its code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import parse_wheel_filename

from holdfast_host.build.errors import BuildError
from holdfast_host.build.sources import inside, read_own
from holdfast_host.core.manifest import MANIFEST_FILE, Manifest

REQUIREMENTS_FILE: Final = "requirements.txt"
REQUIREMENTS_BYTES_MAX: Final = 1 << 20
NESTED_MAX: Final = 8

_HASH: Final = re.compile(r"\s--hash[= ](sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})(?=\s|$)")
_FILE_OPTION: Final = re.compile(r"(?:-r|-c|--requirement[= ]|--constraint[= ])\s*(?P<file>\S+)")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a project asks for.

    Attributes:
        lines: Requirements by name, as pip reads them, with hashes where their author gave some.
        constraints: The same, for versions of what is needed by others.
        wheels: Files of the project.
        asked: What the author wrote, to be shown.
        read: The requirements files that were read, and whether for constraints: each is read once.
    """

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    wheels: list[Path] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    read: set[tuple[Path, bool]] = field(default_factory=set)


def requirements_of(project: Path, manifest: Manifest) -> Requirements:
    """What the manifest and requirements.txt of a project ask for.

    Raises:
        BuildError: One of them is neither a name with versions nor a wheel of the project.
    """
    found = Requirements(asked=list(manifest.dependencies))
    for each in manifest.dependencies:
        _add(project, project, each, f"{MANIFEST_FILE}: the dependency", found, found.lines)
    if (project / REQUIREMENTS_FILE).is_file():
        found.asked.append(REQUIREMENTS_FILE)
        _read(project, project / REQUIREMENTS_FILE, found, found.lines, 0)
    return found


def _read(project: Path, file: Path, found: Requirements, lines: list[str], depth: int) -> None:
    as_what = file, lines is found.constraints
    if as_what in found.read:
        return
    found.read.add(as_what)
    shown = str(file.relative_to(project))
    if depth > NESTED_MAX:
        raise BuildError(f"{shown}: requirements files refer to each other more than {NESTED_MAX} deep")
    try:
        text = read_own(project, file, REQUIREMENTS_BYTES_MAX).decode("utf-8")
    except FileNotFoundError:
        raise BuildError(f"{shown}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise BuildError(f"{shown}: {error}") from None
    if len(text) > REQUIREMENTS_BYTES_MAX:
        raise BuildError(f"{shown}: it is larger than {REQUIREMENTS_BYTES_MAX} bytes")
    for number, line in _logical_lines(text):
        place = f"{shown}:{number}:"
        option = _FILE_OPTION.fullmatch(line)
        if option:
            named = inside(project, file.parent / option["file"])
            further = found.constraints if line.startswith(("-c", "--constraint")) else lines
            _read(project, named, found, further, depth + 1)
        elif line.startswith("-"):
            raise BuildError(
                f"{place} {line.split()[0]!r} cannot be said here: an index is named in pip's own configuration"
                " (pip.conf or PIP_INDEX_URL), and packages by name or as a wheel in the project"
            )
        else:
            _add(project, file.parent, line, place, found, lines)


def _add(project: Path, base: Path, text: str, place: str, found: Requirements, lines: list[str]) -> None:
    """Add one requirement; `base` is where its path starts from, if it is one."""
    hashes = [f"--hash={each}" for each in _HASH.findall(text)]
    plain = _HASH.sub("", text).strip()
    if plain.endswith(".whl") and "://" not in plain and " @ " not in plain:
        wheel = inside(project, base / plain)
        if not wheel.is_file():
            raise BuildError(f"{place} {plain!r}: there is no such file in the project")
        try:
            parse_wheel_filename(wheel.name)
        except ValueError as error:
            raise BuildError(f"{place} {plain!r} is not named as wheels are: {error}") from None
        found.wheels.append(wheel)
        return
    try:
        requirement = Requirement(plain)
    except InvalidRequirement:
        requirement = None
    if requirement is None or requirement.url is not None:
        why = "leads to a source tree or an address" if re.search(r"[/\\@]|:", plain) else "is no requirement"
        raise BuildError(
            f"{place} {plain!r} {why}: a dependency is a name with versions, like 'attrs>=25', or a wheel in the"
            " project, like './wheels/tiny-1.0-py3-none-any.whl'; other code would have to be run to be installed"
        )
    lines.append(" ".join([str(requirement), *hashes]))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, with those that end in a backslash joined; and where each begins."""
    begun, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        began = began or number
        stripped = line.partition(" #")[0].rstrip() if not line.lstrip().startswith("#") else ""
        if stripped.endswith("\\"):
            begun += stripped[:-1] + " "
            continue
        joined, start = (begun + stripped).strip(), began
        begun, began = "", 0
        if joined:
            yield start, joined
    if begun.strip():
        yield began, begun.strip()
