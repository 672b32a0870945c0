"""Projects and packages that attack whoever builds them.

A project is often somebody else's, and its packages always are. Building one must bring nothing of the machine into the
component, and run nothing of theirs outside of the process that has next to nothing around it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.build.process.confinement import NO_LANDLOCK, NO_SECCOMP
from holdfast_host.build.project import build_project, describe_project
from tests.harness.wheels import write_wheel
from tests.unit.build.test_build import ACTOR, MANIFEST, project

TOKEN = "hunter2-of-the-author"
SETUP = "import os, pathlib\npathlib.Path({mark!r}).write_text(os.environ.get('HOLDFAST_TOKEN', '-'))\n"


@pytest.fixture(autouse=True)
def authors_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What must not get out, an index that has nothing, so that nothing is asked of the network, and no build kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOLDFAST_TOKEN", TOKEN)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A project with a source tree in it whose setup.py leaves a mark and what it finds in its environment."""
    directory = project(tmp_path / "p")
    for place in (directory / "evil", tmp_path / "evil"):
        place.mkdir()
        (place / "setup.py").write_text(SETUP.format(mark=str(tmp_path / "mark")))
    with zipfile.ZipFile(directory / "evil.zip", "w") as archive:
        archive.writestr("evil-1.0/setup.py", SETUP.format(mark=str(tmp_path / "mark")))
    return directory


@pytest.mark.parametrize(
    "line",
    [
        "./evil",
        "evil/",
        "./evil[extra]",
        "-e ./evil",
        "--editable=evil",
        "evil @ file://{parent}/evil",
        "evil@file://{parent}/evil",
        "file://{parent}/evil",
        "{parent}/evil",
        "./evil.zip",
        "evil @ git+file://{parent}/evil",
        "git+ssh://git@host/evil.git",
        "evil @ https://127.0.0.1:1/evil.tar.gz",
        "--index-url https://127.0.0.1:1/simple",
        "--find-links .",
        "--no-binary :all:",
        "--config-settings=a=b",
        "-r ../requirements.txt",
        "-c /etc/passwd",
        "../evil-1.0-py3-none-any.whl",
    ],
)
def test_no_requirement_leads_to_code_that_is_run_or_out_of_the_project(evil: Path, tmp_path: Path, line: str) -> None:
    text = line.format(parent=tmp_path)
    (tmp_path / "requirements.txt").write_text("./evil\n")
    write_wheel(tmp_path, "evil", {"evil.py": ""})
    (evil / "requirements.txt").write_text(f"# what it needs\n{text}\n")

    with pytest.raises(BuildError) as caught:
        describe_project(evil)

    assert "\n" not in caught.value.message
    assert "requirements.txt" in caught.value.message or "out of the project" in caught.value.message
    assert not (tmp_path / "mark").exists()
    if not line.startswith("-"):
        (evil / "requirements.txt").unlink()
        (evil / "holdfast.toml").write_text(f"{MANIFEST}dependencies = [{json.dumps(text)}]\n")
        with pytest.raises(BuildError):
            describe_project(evil)
        assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("need", ["evil @ file://{parent}/evil", "evil @ git+file://{parent}/evil"])
def test_a_wheel_cannot_have_its_own_needs_built(evil: Path, tmp_path: Path, need: str) -> None:
    write_wheel(evil, "carrier", {"carrier.py": ""}, needs=[need.format(parent=tmp_path)])
    (evil / "requirements.txt").write_text("./carrier-1.0-py3-none-any.whl\n")

    with pytest.raises(BuildError, match="which would run its code"):
        describe_project(evil)

    assert not (tmp_path / "mark").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../../out.py": ""}, r"a file that leads out of its package: '../../out.py'"),
        ({"/out.py": ""}, r"a file that leads out of its package: '/out.py'"),
        ({"bad-1.0.data/purelib/../../out.py": ""}, r"a file that leads out of its package"),
        ({"bad/core.so": "\0"}, r"bad/core.so is native code: a sandbox runs pure Python"),
    ],
)
def test_no_file_of_a_wheel_leaves_its_place(tmp_path: Path, files: dict[str, str], message: str) -> None:
    directory = project(tmp_path / "p", manifest=f'{MANIFEST}dependencies = ["./bad-1.0-py3-none-any.whl"]\n')
    write_wheel(directory, "bad", files)

    with pytest.raises(BuildError, match=message):
        describe_project(directory)

    assert not list(tmp_path.rglob("out.py"))


def test_a_wheel_that_unpacks_to_no_end_is_refused(tmp_path: Path) -> None:
    directory = project(tmp_path / "p", manifest=f'{MANIFEST}dependencies = ["./bad-1.0-py3-none-any.whl"]\n')
    wheel = write_wheel(directory, "bad", {"bad.py": ""})
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"bad/{number}.txt", bytes(100 << 20))

    with pytest.raises(BuildError, match=r"bad-1.0-py3-none-any.whl has more than 256 MiB or 50000 files"):
        describe_project(directory)


LOOKS_AROUND = """
import os
SEEN = [str(dict(os.environ))]
for path in ("/proc/self/environ", "/etc/passwd", "../../../etc/passwd", "/1/../../etc/passwd", "/0/../refused"):
    try:
        SEEN.append(open(path).read())
    except OSError as error:
        SEEN.append(type(error).__name__)
"""


@pytest.mark.slow
def test_code_that_runs_while_it_is_built_finds_nothing_of_the_machine_and_is_confined(tmp_path: Path) -> None:
    """From inside, and seen from outside; what the process has given up before that, it never has again."""
    app = f"{LOOKS_AROUND}\n{ACTOR}\nTrial.__doc__ = '|'.join(SEEN)\n"
    directory = project(tmp_path / "p", app)
    with ThreadPoolExecutor(1) as beside:
        building = beside.submit(build_project, directory)
        while (confined := _confined_child()) is None:
            assert not building.done()
            time.sleep(0.005)
        built = building.result()

    seen = built.description["actors"][0]["doc"]
    assert "root:" not in seen
    assert TOKEN not in seen
    assert TOKEN.encode() not in built.path.read_bytes()
    environment, status = confined
    assert {line.partition("=")[0] for line in environment if line} == {"VIRTUAL_ENV", "HOME", "TMPDIR"}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def _confined_child() -> tuple[list[str], dict[str, str]] | None:
    """Environment and status of a child of this process that has taken its own rights away."""
    try:
        for task in Path("/proc/self/task").iterdir():
            for child in (task / "children").read_text().split():
                status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
                if status.get("Seccomp") == "2":
                    return Path(f"/proc/{child}/environ").read_text().split("\0"), status
    except (OSError, ValueError):  # it has just begun, or ended
        pass
    return None


@pytest.mark.slow
@pytest.mark.builds
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.json", "entry/report.json: it leads out of the project"),
        # Its sandbox writes through no such link.
        ("objects", "componentize-py could not build the component"),
    ],
)
def test_code_that_runs_while_it_is_built_cannot_lead_its_builder_elsewhere(
    tmp_path: Path, name: str, message: str
) -> None:
    link = f"import os\nos.symlink('../../../../../../../../etc/passwd', '/0/{name}')\n"
    directory = project(tmp_path / "p", link + ACTOR)

    with pytest.raises(BuildError, match=message):
        build_project(directory)


TRIES = """
import ctypes, json, os, pathlib, socket, sys
sys.path.insert(0, "/nowhere")
from holdfast_host.build.process import confinement
if sys.argv[2]:
    confinement.refuse_calls(ctypes.CDLL(None, use_errno=True), json.loads(sys.argv[2]))
here = pathlib.Path(sys.argv[1])
refused = confinement.confine(here, [here.parent / "readable"])
(here / "own").write_text("written")
tries = {
    "read own": lambda: (here / "own").read_text(),
    "read allowed": lambda: (here.parent / "readable").read_text(),
    "write allowed": lambda: (here.parent / "readable").write_text(""),
    "read a file": lambda: open("/etc/passwd").read(),
    "read an environment": lambda: open(f"/proc/{os.getppid()}/environ").read(),
    "list a directory": lambda: os.listdir("/"),
    "write a file": lambda: (here.parent / "out").write_text(""),
    "link": lambda: os.link("/etc/passwd", here / "link"),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "program": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
}
outcome = {}
for name, attempt in tries.items():
    try:
        attempt()
        outcome[name] = "done"
    except PermissionError:
        outcome[name] = "refused"
    except OSError as error:
        outcome[name] = repr(error)
print(json.dumps([refused, outcome]))
"""


def tried(directory: Path, calls: str = "") -> tuple[list[str], dict[str, str]]:
    """What a confined process could do; `calls` are refused to it from the start, as some containers do."""
    (directory / "here").mkdir()
    (directory / "readable").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(directory / "here"), calls], capture_output=True, text=True, check=True
    )
    refused, outcome = json.loads(done.stdout)
    return refused, outcome


def test_the_process_that_builds_has_no_files_but_its_own_no_network_and_no_other_programs(tmp_path: Path) -> None:
    refused, outcome = tried(tmp_path)

    allowed = {name for name, how in outcome.items() if how == "done"}
    if NO_LANDLOCK not in refused:
        assert allowed == {"read own", "read allowed"}, outcome
    assert NO_SECCOMP not in refused
    assert {outcome[name] for name in ("connect", "socket", "program", "signal")} == {"refused"}


def test_what_a_kernel_refuses_to_take_away_is_said_and_the_rest_is_taken(tmp_path: Path) -> None:
    refused, outcome = tried(tmp_path, "[444, 445, 446]")  # Landlock's calls

    assert refused == [NO_LANDLOCK]
    assert outcome["read a file"] == "done"
    assert outcome["socket"] == "refused"
