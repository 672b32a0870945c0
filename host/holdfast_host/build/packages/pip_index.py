"""The index of packages that the author has configured for pip, asked through pip, and what its answers mean."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from holdfast_host.build.errors import BuildError
from holdfast_host.build.packages.pip_sandbox import DATA_BYTES_MAX

INSTALL_TIMEOUT_S: Final = 300.0
GUEST_PYTHON: Final = "3.14"

# What of the author's environment concerns pip: where its configuration is, the index, proxies, certificates. Nothing
# else is any business of a process that talks to the network.
_PASSED: Final = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TMPDIR", "NETRC", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME",
     "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
     "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
     "PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST",
     "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES",
     "PIP_CONSTRAINT", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_KEYRING_PROVIDER"}
)  # fmt: skip
# Settings of an author's configuration for installing that would contradict downloading to a directory.
_SETTLED: Final = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_REQUIRE_HASHES": "0", "PIP_PRE": "0"}

_PURE: Final = ("--platform", "any", "--implementation", "py", "--abi", "none")
_LINUX: Final = ("any", "manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(17, 41)))
_NATIVE: Final = ("--implementation", "cp", *(word for each in _LINUX for word in ("--platform", each)))

_UNREACHABLE: Final = re.compile(
    r"Retrying \(|Could not fetch URL|ConnectionError|Max retries exceeded|Network is unrea"
)


@dataclass(frozen=True, slots=True)
class Release:
    """One version of one package, in a wheel."""

    name: str
    version: str
    native: bool
    needs: tuple[NormalizedName, ...]


class ResolutionError(Exception):
    """pip found no set of packages; the text is what it said."""


class Index:
    """pip, run alone, in a folder of its own; what is put into `folder/wheels` is found like wheels of the index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)

    def resolve(self, lines: Iterable[str], constraints: Sequence[str]) -> list[Release]:
        """The newest releases that fit each other, with native code or without.

        Args:
            lines: Of a requirements file.
            constraints: Of a constraints file.

        Raises:
            ResolutionError: There are none.
        """
        report = self._folder / "report.json"
        words = ["install", "--dry-run", "--ignore-installed", "--report", str(report)]
        words += ["--target", str(self._folder / "none"), *self._files(lines, constraints)]
        self._run(words, _NATIVE)
        return [_release(each) for each in json.loads(report.read_text())["install"]]

    def download(self, lines: Iterable[str], constraints: Sequence[str]) -> list[Path]:
        """Wheels without native code that fit each other, the newest; ResolutionError where there are none."""
        into = self._folder / "chosen"
        self._run(["download", "--dest", str(into), *self._files(lines, constraints)], _PURE)
        return sorted(into.glob("*.whl"), key=lambda path: path.name.lower())

    def native_wheels(self, releases: Iterable[Release]) -> Iterator[tuple[Release, Path | None]]:
        """The wheels with native code of these very releases; None for one that cannot be had."""
        into = self._folder / "native"
        pins = {f"{each.name}=={each.version}": each for each in releases}
        with contextlib.suppress(ResolutionError):
            self._run(["download", "--no-deps", "--dest", str(into), *self._files(pins, ())], _NATIVE)
        found = {parse_wheel_filename(path.name)[:2]: path for path in into.glob("*.whl")}
        for each in pins.values():
            yield each, found.get((canonicalize_name(each.name), Version(each.version)))

    def has_pure(self, release: Release) -> bool:
        """Whether this very release can be had without native code."""
        pins = [f"{release.name}=={release.version}"]
        try:
            self._run(["download", "--no-deps", "--dest", str(self._folder / "pure"), *self._files(pins, ())], _PURE)
        except ResolutionError:
            return False
        return True

    def knows(self, name: str) -> bool:
        """Whether the index has anything under this name, of whatever kind."""
        try:
            self._pip(["index", "versions", "--python-version", GUEST_PYTHON, "--pre", name])
        except ResolutionError:
            return False
        return True

    def _files(self, lines: Iterable[str], constraints: Sequence[str]) -> list[str]:
        wanted, bounds = self._folder / "wanted.txt", self._folder / "bounds.txt"
        wanted.write_text("".join(f"{each}\n" for each in lines))
        bounds.write_text("".join(f"{each}\n" for each in constraints))
        return ["--requirement", str(wanted), *(["--constraint", str(bounds)] if constraints else [])]

    def _run(self, words: Sequence[str], wheels: Sequence[str]) -> None:
        command = [*words, "--only-binary", ":all:", "--python-version", GUEST_PYTHON, "--find-links", str(self.wheels)]
        self._pip([*command, *wheels])

    def _pip(self, words: Sequence[str]) -> None:
        command = [sys.executable, "-I", "-m", "holdfast_host.build.packages.pip_sandbox", *words]
        command += ["--disable-pip-version-check", "--no-input", "--no-color"]
        passed = {key: value for key, value in os.environ.items() if key.upper() in _PASSED}
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env={**passed, **_SETTLED, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"the dependencies were not found within {INSTALL_TIMEOUT_S:.0f} s") from None
        if done.returncode:
            said = f"{done.stdout}\n{done.stderr}"
            if "No module named pip" in said or "No module named 'pip" in said:
                raise BuildError("pip, which Holdfast installs with, is not beside it: install holdfast again", said)
            raise ResolutionError(said)


def is_native(filename: str) -> bool:
    """Whether a wheel of this name runs on some machines only."""
    return not any(tag.platform == "any" and tag.abi == "none" for tag in parse_wheel_filename(filename)[3])


def reason(said: str, index: Index, no_pure: Sequence[str]) -> str:
    """One sentence for what pip said.

    Args:
        said: All of it.
        index: To ask what it did not say.
        no_pure: Packages that are known to have native code only, with who needs them, as a sentence shows them.
    """
    if "no program is started while" in said or "Failed to build" in said:
        return "a dependency must be built, which would run its code: put a wheel of it into the project"
    if "DO NOT MATCH THE HASHES" in said:
        unfit = re.search(r"\n\s{4}(\S[^\n]*) from ", said)
        which = f" {unfit[1]!r}" if unfit else ""
        return (
            f"a package{which} is not the one whose hash requirements.txt has: somebody changed it, or the hash is old"
        )
    if "MemoryError" in said:
        most = f"{DATA_BYTES_MAX >> 30} GiB"
        return f"finding the dependencies took more than {most} of memory: one of them is no usual wheel"
    if no_pure:
        return f"no release without native code: {'; '.join(no_pure)}. A sandbox runs pure Python"
    missing = re.search(r"No matching distribution found for ([^\n]+)", said)
    if missing:
        return _missing(missing[1].strip(), said, index)
    conflict = re.search(r"The conflict is caused by:\n((?: {2,}\S[^\n]*\n)+)", said)
    if conflict:
        causes = ", ".join(line.strip() for line in conflict[1].splitlines())
        return f"no releases fit each other: {causes}"
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return f"the dependencies cannot be installed: {(errors or [said.strip() or 'pip said nothing'])[0]}"


def _missing(wanted: str, said: str, index: Index) -> str:
    if _UNREACHABLE.search(said):
        return f"{wanted!r} was not found, because an index could not be reached (see 'pip config list')"
    text, _, needed_by = wanted.partition(" (from ")
    shown = f"{text!r}" + (f" (needed by {needed_by.rstrip(')')})" if needed_by and ".txt" not in needed_by else "")
    try:
        name = Requirement(text).name
    except ValueError:
        name = text
    versions = re.search(r"\(from versions: ([^)\n]*)\)", said)
    known = [each.strip() for each in versions[1].split(",")] if versions else []
    if known and known != ["none"]:
        return f"no release fits {shown}: the newest is {known[-1]}"
    if not index.knows(name):
        return f"there is no package {name!r} on the index: look at how its name is written"
    return (
        f"the package {shown} has releases, but none as a wheel for Python {GUEST_PYTHON}: building one runs its code;"
        " build it yourself, and put the wheel into the project (see docs/packages.md)"
    )


def _release(entry: dict[str, dict[str, object]]) -> Release:
    metadata = entry["metadata"]
    filename = unquote(urlsplit(str(entry["download_info"]["url"])).path.rpartition("/")[2])
    needs = metadata.get("requires_dist", [])
    names = (canonicalize_name(Requirement(each).name) for each in needs) if isinstance(needs, list) else ()
    return Release(str(metadata["name"]), str(metadata["version"]), is_native(filename), tuple(names))
