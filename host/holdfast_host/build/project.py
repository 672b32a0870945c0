"""`build_project`: one directory in, one component out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast_host.build.base.kept import base_of, build_from, is_kept, make_base, turn_to_make
from holdfast_host.build.build_cache import KeptBuild
from holdfast_host.build.errors import BuildError
from holdfast_host.build.immortal_objects import OtherPythonError, make_immortal
from holdfast_host.build.packages.bundle import write_carried, write_unpacked
from holdfast_host.build.packages.requirements import requirements_of
from holdfast_host.build.packages.resolution import Dependencies, gather_dependencies
from holdfast_host.build.process.runs import BUILD_TIMEOUT_S, run_confined
from holdfast_host.build.sources import copy_project, copy_sdk, import_root, inside, read_own, wit_directory
from holdfast_host.core.failures import required
from holdfast_host.core.limits import GIB, MIB, Limits
from holdfast_host.core.manifest import MANIFEST_FILE, Manifest
from holdfast_host.core.project_manifest import read_manifest

BUILD_CPU_S: Final = 120
BUILD_DATA_BYTES: Final = 6 * GIB
BUILD_CLOCK_S: Final = 1_793_491_200  # where the clock stands while a component is built: 2026-11-01, midnight in UTC
REPORT_BYTES_MAX: Final = 16 * MIB
DOUBTS_MAX: Final = 100  # shown of a build

# What the sandbox of the build calls the directories that it is given, in this order.
_ENTRY_MOUNT, _SOURCE_MOUNT = "/0", "/1"

_ENTRY: Final = '''"""The component's entry: what componentize-py exports is the class Instance."""

from holdfast._component.loading import load

Instance = load("{mount}/plan.json")
'''


OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """A component on disk, with the manifest it was built from and what it says about itself."""

    path: Path
    manifest: Manifest
    description: dict[str, Any]
    size_bytes: int


def build_project(
    directory: Path, on_stage: OnStage = lambda stage: None, limits: Limits | None = None, *, quickly: bool = False
) -> BuiltComponent:
    """Build `build/NAME.wasm` in a project directory; it replaces an earlier one only when it is whole.

    Blocks for about five seconds, more where there are dependencies to install, less where nothing has changed since an
    earlier build; call it on a thread of its own.

    Args:
        directory: Where holdfast.toml is.
        on_stage: Told what is being done, in a few words, as it begins.
        limits: The operator's; the defaults where None.
        quickly: Go on from the base of a `prepare_base`, where there is one: a second, and other bytes than those that
            everybody gets who builds the same.

    Raises:
        InvalidManifestError: holdfast.toml breaks a rule.
        BuildError: Anything else: one sentence, with the author's file and line where there is one.
    """
    return _build(directory, on_stage, limits, "", quickly=quickly)


def build_for_development(
    directory: Path, on_stage: OnStage = lambda stage: None, limits: Limits | None = None
) -> BuiltComponent:
    """Build `build/NAME.dev.wasm`, a component that can be given other sources; else like `build_project`."""
    return _build(directory, on_stage, limits, ".dev")


def describe_project(directory: Path, on_stage: OnStage = lambda stage: None) -> dict[str, Any]:
    """What the component of a project would say of itself; takes as long as a build, and leaves nothing."""
    with _built_aside(directory.resolve(), on_stage, None, "") as (_, _, description, _):
        return description


def prepare_base(directory: Path, on_stage: OnStage = lambda stage: None, limits: Limits | None = None) -> bool:
    """Make what a quick `build_project` goes on from: half a minute of processor time, where it is not there.

    Returns:
        False where the project cannot have one: modules of its own are called like those of Python.

    Raises:
        InvalidManifestError, BuildError: as `build_project`.
    """
    project, limits = directory.resolve(), limits or Limits()
    with laid_out(project, on_stage, limits, "") as (work, plan, _, _):
        base = base_of(work)
        if base is None:
            return False
        with turn_to_make(base):
            if not is_kept(base):
                on_stage("preparing what builds of changed sources go on from")
                make_base(work, base, plan, _componentize, limits)
    return True


def _build(
    directory: Path, on_stage: OnStage, limits: Limits | None, suffix: str, *, quickly: bool = False
) -> BuiltComponent:
    project = directory.resolve()
    with _built_aside(project, on_stage, limits, suffix, quickly=quickly) as (output, manifest, description, packages):
        size = output.stat().st_size
        target = _publish(output, project / "build" / f"{manifest.name}{suffix}.wasm")
        write_unpacked(packages, project / "build" / "packages")
    on_stage(f"built {target.relative_to(project)} ({size / MIB:.1f} MiB)")
    return BuiltComponent(target, manifest, description, size)


@contextmanager
def laid_out(
    project: Path, on_stage: OnStage, limits: Limits, suffix: str
) -> Iterator[tuple[Path, dict[str, Any], Manifest, dict[str, bytes]]]:
    """A throwaway directory with all that goes into a component; the plan, the manifest and the packages."""
    on_stage("reading holdfast.toml")
    inside(project, project / MANIFEST_FILE)
    inside(project, project / "build")  # where the component will be written
    manifest = read_manifest(project, limits)
    if manifest.main is None:
        raise BuildError(
            'holdfast.toml has no main: add main = "src/app.py", the module that exports the actor classes'
        )
    root, module = import_root(project, manifest.main)
    with tempfile.TemporaryDirectory(prefix="holdfast-build-") as name:
        work = Path(name).resolve()
        dependencies = _dependencies(work, project, manifest, on_stage)
        plan: dict[str, Any] = {"main": module, "bindings": [(each.binding, each.type) for each in manifest.actors]}
        plan |= {"development": True} if suffix else {}
        _lay_out(work, project, root, plan, dependencies)
        yield work, plan, manifest, dependencies


@contextmanager
def _built_aside(
    project: Path, on_stage: OnStage, limits: Limits | None, suffix: str, *, quickly: bool = False
) -> Iterator[tuple[Path, Manifest, dict[str, Any], dict[str, bytes]]]:
    """A component in a throwaway directory, the manifest that it is made from, its description and its packages."""
    limits = limits or Limits()
    with laid_out(project, on_stage, limits, suffix) as (work, plan, manifest, dependencies):
        main = required(manifest.main, "the main module of a project that is laid out")
        on_stage(f"building {manifest.name} from {manifest.main}")
        seed = _seed(work)
        kept, output = _component(work, plan, seed, quickly=quickly)
        description = _description(work, main, output)
        for doubt in _doubts(description):
            on_stage(f"warning: {doubt}")
        for refused in (work / "refused").read_text().splitlines():
            on_stage(f"warning: {refused}; see docs/packages.md")
        inside(work, work / "entry" / "objects")  # written by the code that ran
        if kept is not None:
            kept.keep()
        try:
            make_immortal(work / "out.wasm", work / "entry" / "objects")
        except OtherPythonError as error:
            on_stage(f"warning: the component is built, but each of its instances takes more memory: {error}")
        size = (work / "out.wasm").stat().st_size
        if size > limits.component_bytes_max:
            most = limits.component_bytes_max // MIB
            raise BuildError(f"the component has {size / MIB:.1f} MiB, the limit is {most} MiB: use fewer dependencies")
        yield work / "out.wasm", manifest, description, dependencies


def _component(work: Path, plan: dict[str, Any], seed: str, *, quickly: bool) -> tuple[KeptBuild | None, str]:
    """Have a component in the throwaway directory: where to keep it, if it is new; what componentize-py said."""
    whole = KeptBuild(work, seed)
    if whole.restore():
        return None, ""
    base = base_of(work) if quickly else None
    if base is not None and is_kept(base):
        quick = KeptBuild(work, f"{seed} {base.seed}")  # other bytes than those of a whole build
        if quick.restore():
            return None, ""
        if build_from(base, work, plan, _process_facts(work) | {"seed": seed}):
            return quick, ""
    return whole, _componentize(work, seed)


def _dependencies(work: Path, project: Path, manifest: Manifest, on_stage: OnStage) -> dict[str, bytes]:
    """What the project's packages consist of, by path below site-packages; says which they are."""
    wanted = requirements_of(project, manifest)
    if not wanted.asked:
        return {}
    on_stage(f"finding dependencies ({', '.join(wanted.asked)})")
    found: Dependencies = gather_dependencies(project, wanted, work / "index")
    shutil.rmtree(work / "index")
    on_stage(f"taking {', '.join(f'{name} {version}' for name, version in found.versions.items()) or 'none'}")
    for warning in found.warnings:
        on_stage(f"warning: {warning}")
    return found.files


def _lay_out(work: Path, project: Path, root: Path, plan: dict[str, Any], dependencies: dict[str, bytes]) -> None:
    """Fill the throwaway directory; the plan gets what lies where."""
    (work / "entry").mkdir()
    (work / "home").mkdir()
    # Empty: it keeps componentize-py from looking for what happens to be installed around it.
    (work / "venv" / "lib" / "python3.14" / "site-packages").mkdir(parents=True)
    copy_sdk(work / "entry" / "holdfast")
    copy_project(project, root, work / "source")
    plan |= {"shown": {_SOURCE_MOUNT: str(root.relative_to(project))}}
    plan |= {"report": f"{_ENTRY_MOUNT}/report.json", "objects": f"{_ENTRY_MOUNT}/objects"}
    if dependencies:
        write_carried(dependencies, work / "entry" / "packages")
        plan["packages"] = f"{_ENTRY_MOUNT}/packages"
    (work / "entry" / "plan.json").write_text(json.dumps(plan))
    (work / "entry" / "holdfast_entry.py").write_text(_ENTRY.format(mount=_ENTRY_MOUNT))


def _componentize(work: Path, seed: str) -> str:
    """Run componentize-py; what it said. BuildError where it took too long."""
    arguments = ["-d", str(wit_directory()), "-w", "actor", "componentize", "holdfast_entry"]
    arguments += ["-p", "entry", "-p", "source", "-o", "out.wasm"]
    try:
        done = run_confined("launch", {**_process_facts(work), "seed": seed}, arguments, work)
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


def _process_facts(work: Path) -> dict[str, Any]:
    """What a process that builds is told, but for its seed."""
    facts: dict[str, Any] = {"cpu_s": BUILD_CPU_S, "data_bytes": BUILD_DATA_BYTES, "refused": str(work / "refused")}
    return facts | {"writable": str(work), "readable": [str(wit_directory())], "now_s": BUILD_CLOCK_S}


def _seed(work: Path) -> str:
    """What a build has for randomness, in hex: it follows from what goes in; only who has that knows the hash seed."""
    digest = hashlib.sha256()
    for path in sorted(work.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(work).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _description(work: Path, main: str, output: str) -> dict[str, Any]:
    """What the component says about itself; BuildError with what its author must mend where there is none."""
    report: Any = None
    with suppress(OSError, ValueError, RecursionError):  # code of others has run where it lies
        report = json.loads(read_own(work, work / "entry" / "report.json", REPORT_BYTES_MAX))
    report = report if isinstance(report, dict) else {}
    if "kind" in report and "message" in report:
        raise BuildError(_sentence(report, main), str(report.get("traceback", "")))
    if not report or "kind" in report or not (work / "out.wasm").is_file():
        # Its memory is copied out in one piece, and componentize-py lets pieces have 128 MiB.
        if "fuel allocated for hostcalls" in output:
            raise BuildError(
                "what the modules hold once they are imported is more than 128 MiB, twice what an instance may have:"
                " import less, or inside the function that needs it",
                output,
            )
        last = [line for line in output.splitlines() if line.strip()][-1:] or ["it said nothing"]
        raise BuildError(f"componentize-py could not build the component: {last[0].strip()}", output)
    description: dict[str, Any] = report
    return description


def _doubts(description: dict[str, Any]) -> list[str]:
    """What the SDK takes for a slip, taken out of the report."""
    told = description.pop("warnings", None)
    return [each for each in told if isinstance(each, str)][:DOUBTS_MAX] if isinstance(told, list) else []


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
        if name in sys.stdlib_module_names:
            return f"{place}: the module {name!r} is a part of Python that does not exist in a sandbox"
        return f"{place}: there is no module {name!r}: if it is a package, add it to dependencies in holdfast.toml"
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
