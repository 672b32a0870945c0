"""Real builds: each takes seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from wasmtime import Engine

from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import DOUBTS_MAX, _description, _doubts, build_project
from tests.harness.wheels import write_wheel
from tests.unit.guest.plain_host import PlainHost

MANIFEST = 'name = "trial"\nmain = "src/app.py"\ncompatibility_date = "2026-11-01"\n'

ACTOR = """
from holdfast import StatefulActor

class Trial(StatefulActor):
    def hello(self):
        return "hello"
"""


def project(directory: Path, app: str = ACTOR, manifest: str = MANIFEST, **sources: str) -> Path:
    """A project directory with src/app.py and more modules beside it."""
    (directory / "src").mkdir(parents=True, exist_ok=True)
    (directory / "holdfast.toml").write_text(manifest)
    for name, text in {"app": app, **sources}.items():
        (directory / "src" / f"{name}.py").write_text(text)
    return directory


# A time zone as compiled: version 1, no transitions, one kind of time 60 s east of UTC, called MST.
ZONE = "TZif" + "\0" * 16 + "\0" * 4 * 4 + "\0\0\0\1" + "\0\0\0\4" + "\0\0\0\x3c" + "\0\0" + "MST\0"


def files_of(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param(
            "x = 1\ndef broken(:\n    pass\n",
            r"src/app.py:2: syntax error in 'def broken\(:': ",
            marks=pytest.mark.builds,
        ),
        ("import helper\n", r"src/helper.py:2: the module cannot be imported: ZeroDivisionError: division by zero"),
        pytest.param(
            "import numpy\n",
            r"src/app.py:1: there is no module 'numpy': if it is a package, add it to dependencies",
            marks=pytest.mark.builds,
        ),
        pytest.param(
            "import zoneinfo\nzoneinfo.ZoneInfo('Mars/Day')\n",
            r"src/app.py:2: .* 'Mars/Day' .* add tzdata to the dependen",
            marks=pytest.mark.builds,
        ),
        pytest.param(
            "import ctypes\n",
            r"src/app.py:1: the module '_ctypes' is a part of Python that does not exist in a sandbox",
            marks=pytest.mark.builds,
        ),
        pytest.param(
            f"X = bytes(range(256)) * (560 << 10)\n{ACTOR}",
            r"what the modules hold once they are imported is more",
            marks=pytest.mark.builds,
        ),
        pytest.param(
            f"{ACTOR}\n    def name(self):\n        return 1\n",
            r"src/app.py:8: the method Trial.name hides the name of",
            marks=pytest.mark.builds,
        ),
    ],
)
def test_what_is_wrong_with_the_code_is_one_sentence_with_file_and_line(tmp_path: Path, app: str, message: str) -> None:
    directory = project(tmp_path / "p", app, helper="\n1 / 0\n")

    with pytest.raises(BuildError, match=f"^{message}") as caught:
        build_project(directory)

    assert "\n" not in caught.value.message
    assert not (directory / "build").exists()


@pytest.mark.slow
@pytest.mark.builds
@pytest.mark.parametrize(
    ("actor_type", "message"),
    [
        ("Trail", r"src/app.py:4: the binding TRIAL leads to Trail, .* did you mean Trial\?"),
        ("Plain", r"src/app.py:8: the class Plain, which the binding TRIAL names, is no actor: write class Plain\("),
    ],
)
def test_a_binding_that_misses_its_class_does_not_get_into_a_component(
    tmp_path: Path, actor_type: str, message: str
) -> None:
    bound = f'{MANIFEST}[[actors]]\nbinding = "TRIAL"\ntype = "{actor_type}"\n'

    with pytest.raises(BuildError, match=f"^{message}"):
        build_project(project(tmp_path / "p", f"{ACTOR}\nclass Plain:\n    pass\n", bound))


RICH = """
import sys
from datetime import datetime
from zoneinfo import ZoneInfo
NIGHT = ZoneInfo("Mars/Night")
print("printed while it is built")
from holdfast import StatefulActor
import tiny

class Trial(StatefulActor):
    @staticmethod
    def nobody_calls():
        return 1

    def uses_its_package(self):
        return tiny.answer()

    def imports_lazily(self):
        from helper import late
        import helper.later
        import colorsys, statistics
        return [late(), helper.later.VALUE]

    def imports_what_is_not_there(self):
        import antigravity_of_old

    def knows_its_zone(self):
        return str(datetime(2026, 11, 1, tzinfo=NIGHT)) + str(ZoneInfo("Mars/Night"))

    def wants_a_zone(self):
        return ZoneInfo("Europe/Berlin")

    def leaves(self):
        sys.exit(3)

    def eats_memory(self):
        return len("x" * (1 << 40))

    def recurses(self):
        return self.recurses()

    def nests(self):
        value = []
        for _ in range(200):
            value = [value]
        return value

    def looks_around(self):
        import os
        return [dict(os.environ).get("HOME"), os.path.exists("/1/app.py")]

    def draws(self):
        import random
        return random.random()

# What differs from build to build in ordinary Python: sets, times, listings, numbers of files, addresses.
import os, random, time
from pathlib import Path

NAMES = {f"name {number}" for number in range(100)}
LISTED = [entry.name for entry in os.scandir(Path(__file__).parent)]
TABLE = (Path(__file__).parent / "table.txt").read_text()
STATED = os.stat(__file__)
DICE = random.Random()
"""
ASKED = ["wheels/tiny-1.0-py3-none-any.whl", "./wheels/tzdata-1.0-py3-none-any.whl"]
TEXTS = ["table", *(f"z{number}" for number in range(30))]


def rich_project(directory: Path, texts: Sequence[str] = TEXTS) -> Path:
    """A project with packages, modules and files that do much of what projects do; the texts are written in order."""
    project(directory, RICH, f"{MANIFEST}dependencies = {json.dumps(ASKED)}\n")
    answer = {"tiny/__init__.py": "def answer():\n    from tiny.inner import A\n    return A\n"}
    write_wheel(directory / "wheels", "tiny", {**answer, "tiny/inner.py": "A = 42\n"})
    places = ("tzdata", "tzdata/zoneinfo", "tzdata/zoneinfo/Mars")
    zones = {f"{each}/__init__.py": "" for each in places}
    write_wheel(directory / "wheels", "tzdata", {**zones, f"{places[-1]}/Night": ZONE})
    (directory / "src" / "helper").mkdir()
    (directory / "src" / "helper" / "__init__.py").write_text("def late():\n    return 'late'\n")
    (directory / "src" / "helper" / "later.py").write_text("VALUE = 'later'\n")
    for name in texts:
        (directory / "src" / f"{name}.txt").write_text(name)
    return directory


@pytest.mark.slow
def test_a_project_becomes_a_component_with_its_packages_and_no_more(tmp_path: Path) -> None:
    directory = rich_project(tmp_path / "p")
    before = files_of(directory)
    stages: list[str] = []

    built = build_project(directory, stages.append)

    assert built.path == directory / "build" / "trial.wasm"
    assert built.description["actors"][0]["type"] == "Trial"
    assert stages == [
        "reading holdfast.toml",
        f"finding dependencies ({', '.join(ASKED)})",
        "taking tiny 1.0, tzdata 1.0",
        "building trial from src/app.py",
        "warning: src/app.py:11: Trial.nobody_calls is a static method: callers cannot call it; make it a method"
        " with self, or name it _nobody_calls",
        f"built build/trial.wasm ({built.size_bytes / (1 << 20):.1f} MiB)",
    ]
    packages = directory / "build" / "packages"  # for tests
    assert files_of(directory) - files_of(packages) == {*before, built.path}
    assert (packages / "tiny-1.0.dist-info" / "METADATA").is_file()

    host = PlainHost(Engine(), built.path.read_bytes())
    sandbox = host.sandbox("Trial", "t")

    assert sandbox.call("uses_its_package") == 42
    assert sandbox.call("imports_lazily") == ["late", "later"]
    assert (
        "only packages and what was imported while it was built" in sandbox.call("imports_what_is_not_there")["message"]
    )
    assert sandbox.call("knows_its_zone") == "2026-11-01 00:00:00+00:01Mars/Night"
    wanted = sandbox.call("wants_a_zone")["message"]
    assert wanted.startswith("ZoneInfoNotFoundError: ")
    assert "add tzdata to the dependencies" in wanted
    assert sandbox.call("leaves")["message"] == "SystemExit: 3"
    assert sandbox.call("eats_memory")["message"].startswith(("MemoryError", "OverflowError"))
    assert sandbox.call("recurses")["message"].startswith("RecursionError")
    assert sandbox.call("nests")["name"] == "CodecError"
    assert sandbox.call("looks_around") == [None, False]
    assert sandbox.call("draws") != host.sandbox("Trial", "t").call("draws")
    assert host.log.lines == []


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("src/other.py", "src/other.py: there is no such file"),
        ("src/json.py", "a module called 'json' would hide another one"),
        ("src/holdfast.py", "a module called 'holdfast' would hide another one"),
        ("src/outside.py", "it leads out of the project"),
    ],
)
def test_a_main_that_cannot_be_imported_is_refused_at_once(tmp_path: Path, main: str, message: str) -> None:
    (tmp_path / "outside.py").write_text(ACTOR)
    directory = project(tmp_path / "p", manifest=MANIFEST.replace("src/app.py", main), json="", holdfast="")
    (directory / "src" / "outside.py").symlink_to(tmp_path / "outside.py")

    with pytest.raises(BuildError, match=message):
        build_project(directory)


def test_a_project_without_main_says_what_to_add(tmp_path: Path) -> None:
    directory = project(tmp_path / "p", manifest=MANIFEST.replace('main = "src/app.py"\n', ""))

    with pytest.raises(BuildError, match=r'add main = "src/app.py"'):
        build_project(directory)


def test_a_directory_that_is_too_large_to_be_sources_is_refused(tmp_path: Path) -> None:
    directory = project(tmp_path / "p")
    os.truncate(directory / "src" / "app.py", 65 << 20)

    with pytest.raises(BuildError, match="more than 64 MiB or 10000 files"):
        build_project(directory)


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (
            {"kind": "syntax", "message": "m", "file": "src/a.py", "line": 2, "text": "b("},
            "src/a.py:2: syntax error in 'b(': m",
        ),
        ({"kind": "syntax", "message": "m"}, "src/app.py: syntax error: m"),
        (
            {"kind": "import", "message": "m", "line": 1, "module": "numpy.linalg"},
            "src/app.py:1: there is no module 'numpy': if it is a package, add it to dependencies in holdfast.toml",
        ),
        (
            {"kind": "import", "message": "m", "line": 1, "module": "_ctypes"},
            "src/app.py:1: the module '_ctypes' is a part of Python that does not exist in a sandbox",
        ),
        ({"kind": "raised", "message": "m", "line": 3}, "src/app.py:3: the module cannot be imported: m"),
        ({"kind": "rule", "message": "m", "file": None, "line": None}, "src/app.py: m"),
    ],
)
def test_each_kind_of_finding_has_its_sentence(tmp_path: Path, report: dict[str, object], sentence: str) -> None:
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "report.json").write_text(json.dumps({**report, "traceback": "t"}))

    with pytest.raises(BuildError) as caught:
        _description(tmp_path, "src/app.py", "")

    assert (caught.value.message, caught.value.details) == (sentence, "t")


def test_what_is_too_large_to_be_copied_out_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()

    with pytest.raises(BuildError, match=r"^what the modules hold once they are imported is more than 128 MiB"):
        _description(tmp_path, "src/app.py", "Error: too much fuel allocated for hostcalls has been used\n")


def test_a_report_that_leads_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "p" / "entry").mkdir(parents=True)
    (tmp_path / "secret").write_text(json.dumps({"actors": []}))
    (tmp_path / "p" / "entry" / "report.json").symlink_to(tmp_path / "secret")

    with pytest.raises(BuildError, match=r"^entry/report\.json: it leads out of the project"):
        _description(tmp_path / "p", "src/app.py", "")


@pytest.mark.parametrize("report", ["[1]", '"kind"', "1", '{"kind":"syntax"}', "[" * 100_000, "{", ""])
def test_a_report_that_the_code_of_a_project_has_written_over_is_one_sentence(tmp_path: Path, report: str) -> None:
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "report.json").write_text(report)
    (tmp_path / "out.wasm").write_bytes(b"")

    with pytest.raises(BuildError, match="could not build the component: the last line"):
        _description(tmp_path, "src/app.py", "the first line\nthe last line\n")


def test_warnings_that_the_code_of_a_project_has_written_over_are_none_or_few() -> None:
    told: list[tuple[object, list[str]]] = [(5, []), ("x", []), (["x", 5], ["x"]), (["x"] * 1000, ["x"] * DOUBTS_MAX)]
    for warnings, shown in told:
        description = {"warnings": warnings, "actors": []}

        assert _doubts(description) == shown
        assert description == {"actors": []}
