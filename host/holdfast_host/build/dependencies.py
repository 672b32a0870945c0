"""A project's dependencies: pure-Python packages, installed into the throwaway directory and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from holdfast_host.build.errors import BuildError
from holdfast_host.core.manifest import Manifest

REQUIREMENTS_FILE: Final = "requirements.txt"
INSTALL_TIMEOUT_S: Final = 300.0
GUEST_PYTHON: Final = "3.14"

_NATIVE_SUFFIXES: Final = (".so", ".pyd", ".dylib")


def has_dependencies(project: Path, manifest: Manifest) -> bool:
    """Whether there is anything to install."""
    return bool(manifest.dependencies) or (project / REQUIREMENTS_FILE).is_file()


def install_dependencies(project: Path, manifest: Manifest, target: Path) -> None:
    """Install what the manifest and requirements.txt ask for, as wheels for any platform.

    Raises:
        BuildError: A package cannot be found, or is not pure Python.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-compile", "--target", str(target), "--only-binary", ":all:"]
    command += ["--platform", "any", "--python-version", GUEST_PYTHON, "--implementation", "py", "--abi", "none"]
    if (project / REQUIREMENTS_FILE).is_file():
        command += ["--requirement", REQUIREMENTS_FILE]
    command += ["--", *manifest.dependencies]
    try:
        done = subprocess.run(
            command,
            cwd=project,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"the dependencies were not installed within {INSTALL_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        raise BuildError(_reason(done.stderr), done.stderr)
    for path in target.rglob("*"):
        if path.suffix in _NATIVE_SUFFIXES:
            raise BuildError(
                f"the dependency file {path.relative_to(target)} is native code: a sandbox runs pure Python"
            )


def _reason(output: str) -> str:
    for line in output.splitlines():
        _, found, rest = line.partition("No matching distribution found for ")
        if found:
            return f"no pure-Python package satisfies the dependency {rest.strip()!r} (wheels for any platform only)"
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    return f"the dependencies cannot be installed: {(errors or [output.strip() or 'pip said nothing'])[-1]}"
