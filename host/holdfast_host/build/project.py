"""`build_project`: one directory in, one component out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast_host.build.dependencies import REQUIREMENTS_FILE, has_dependencies, install_dependencies
from holdfast_host.build.errors import BuildError
from holdfast_host.build.sources import copy_project, copy_sdk, import_root, wit_directory
from holdfast_host.core.limits import GIB, MIB, Limits
from holdfast_host.core.manifest import Manifest, read_manifest

BUILD_TIMEOUT_S: Final = 180.0
BUILD_CPU_S: Final = 120
BUILD_DATA_BYTES: Final = 6 * GIB

# What the sandbox of the build calls the directories that it is given, in this order.
_ENTRY_MOUNT, _SOURCE_MOUNT, _PACKAGES_MOUNT = "/0", "/1", "/2"

_ENTRY: Final = '''"""The component's entry: what componentize-py exports is the class Instance."""

from holdfast._entry import load

Instance = load("{mount}/plan.json")
'''


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """A component on disk, with the manifest it was built from and what it says about itself."""

    path: Path
    manifest: Manifest
    description: dict[str, Any]
    size_bytes: int


def build_project(
    directory: Path, on_stage: Callable[[str], None] = lambda stage: None, limits: Limits | None = None
) -> BuiltComponent:
    """Build `build/NAME.wasm` in a project directory; it replaces an earlier one only when it is whole.

    Blocks for about five seconds, more where there are dependencies to install; call it on a thread of its own.

    Args:
        directory: Where holdfast.toml is.
        on_stage: Told what is being done, in a few words, as it begins.
        limits: The operator's; the defaults where None.

    Raises:
        InvalidManifestError: holdfast.toml breaks a rule.
        BuildError: Anything else: one sentence, with the author's file and line where there is one.
    """
    limits = limits or Limits()
    project = directory.resolve()
    on_stage("reading holdfast.toml")
    manifest = read_manifest(project, limits)
    if manifest.main is None:
        raise BuildError(
            'holdfast.toml has no main: add main = "src/app.py", the module that exports the actor classes'
        )
    root, module = import_root(project, manifest.main)
    with tempfile.TemporaryDirectory(prefix="holdfast-build-") as name:
        work = Path(name)
        packages = _lay_out(work, project, root, module)
        if has_dependencies(project, manifest):
            given = [*manifest.dependencies, *([REQUIREMENTS_FILE] if (project / REQUIREMENTS_FILE).is_file() else [])]
            on_stage(f"installing dependencies ({', '.join(given)})")
            install_dependencies(project, manifest, packages)
        on_stage(f"building {manifest.name} from {manifest.main}")
        output = _componentize(work)
        description = _description(work, manifest.main, output)
        size = (work / "out.wasm").stat().st_size
        if size > limits.component_bytes_max:
            most = limits.component_bytes_max // MIB
            raise BuildError(f"the component has {size / MIB:.1f} MiB, the limit is {most} MiB: use fewer dependencies")
        target = _publish(work / "out.wasm", project / "build" / f"{manifest.name}.wasm")
    on_stage(f"built {target.relative_to(project)} ({size / MIB:.1f} MiB)")
    return BuiltComponent(target, manifest, description, size)


def _lay_out(work: Path, project: Path, root: Path, module: str) -> Path:
    """Fill the throwaway directory; the place for dependencies in it."""
    (work / "entry").mkdir()
    (work / "home").mkdir()
    packages = work / "venv" / "lib" / "python3.14" / "site-packages"
    packages.mkdir(parents=True)
    copy_sdk(work / "entry" / "holdfast")
    copy_project(root, work / "source")
    shown = {_SOURCE_MOUNT: str(root.relative_to(project)), _PACKAGES_MOUNT: "site-packages"}
    plan = {"main": module, "shown": shown, "report": f"{_ENTRY_MOUNT}/report.json"}
    (work / "entry" / "plan.json").write_text(json.dumps(plan))
    (work / "entry" / "holdfast_entry.py").write_text(_ENTRY.format(mount=_ENTRY_MOUNT))
    return packages


def _componentize(work: Path) -> str:
    """Run componentize-py; what it said. BuildError where it took too long."""
    command = [sys.executable, "-I", "-m", "holdfast_host.build.launch", str(BUILD_CPU_S), str(BUILD_DATA_BYTES)]
    command += ["-d", str(wit_directory()), "-w", "actor", "componentize", "holdfast_entry"]
    command += ["-p", "entry", "-p", "source", "-o", "out.wasm"]
    # A private environment: the guest's build must not see what happens to be installed around it.
    environment = {"PATH": os.defpath, "VIRTUAL_ENV": str(work / "venv"), "HOME": str(work / "home")}
    environment |= {"TMPDIR": str(work / "home"), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"the build took longer than {BUILD_TIMEOUT_S:.0f} s: top-level code runs at build time, and must end"
        ) from None
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    if done.returncode < 0:
        raise BuildError(
            f"the build was ended by signal {-done.returncode}: top-level code runs at build time, within"
            f" {BUILD_CPU_S} s of CPU time and {BUILD_DATA_BYTES // GIB} GiB",
            output,
        )
    return output


def _description(work: Path, main: str, output: str) -> dict[str, Any]:
    """What the component says about itself; BuildError with what its author must mend where there is none."""
    report: dict[str, Any] = {}
    try:
        report = json.loads((work / "entry" / "report.json").read_text())
    except (OSError, ValueError):
        report = {}
    if "kind" in report:
        raise BuildError(_sentence(report, main), str(report.get("traceback", "")))
    if not report or not (work / "out.wasm").is_file():
        last = [line for line in output.splitlines() if line.strip()][-1:] or ["it said nothing"]
        raise BuildError(f"componentize-py could not build the component: {last[0].strip()}", output)
    return report


def _sentence(report: dict[str, Any], main: str) -> str:
    """`src/app.py:3: ...`, from a finding of the entry."""
    place = str(report.get("file") or main)
    if report.get("line"):
        place = f"{place}:{report['line']}"
    message = str(report["message"])
    if report["kind"] == "syntax":
        text = f" in {report['text']!r}" if report.get("text") else ""
        return f"{place}: syntax error{text}: {message}"
    if report["kind"] == "import":
        name = str(report.get("module") or "").partition(".")[0]
        return (
            f"{place}: {message}; if {name!r} is a package, add it to dependencies in holdfast.toml"
            " (pure Python only; some of the standard library does not exist in a sandbox)"
        )
    if report["kind"] == "raised":
        return f"{place}: the module cannot be imported: {message}"
    return f"{place}: {message}"


def _publish(built: Path, target: Path) -> Path:
    """Put the component in its place, whole or not at all."""
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(built, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
