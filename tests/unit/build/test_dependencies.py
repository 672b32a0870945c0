"""Which releases a build takes, from an index that lies in a directory, and how it says which it cannot take."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.build.packages import wheel_archives as wheels
from holdfast_host.build.packages.requirements import requirements_of
from holdfast_host.build.packages.resolution import Dependencies, gather_dependencies
from holdfast_host.build.packages.wheel_archives import without_native_parts
from holdfast_host.core.limits import MIB
from holdfast_host.core.project_manifest import read_manifest
from tests.harness.wheels import write_wheel
from tests.unit.build.test_build import project

LINUX = "cp314-cp314-manylinux_2_17_x86_64"
NATIVE = {"quick/_fast.cpython-314-x86_64-linux-gnu.so": "\x7fELF"}
GUARDED = "try:\n    from ._fast import speed\nexcept ImportError:\n    from ._slow import speed\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of our own, configured as an author configures one."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    return folder


def gathered(tmp_path: Path, *asked: str) -> Dependencies:
    """What a project with these requirements gets."""
    directory = project(tmp_path / "p")
    (directory / "requirements.txt").write_text("".join(f"{each}\n" for each in asked))
    wanted = requirements_of(directory, read_manifest(directory))
    return gather_dependencies(directory, wanted, tmp_path / "scratch")


def refusal(tmp_path: Path, *asked: str) -> str:
    with pytest.raises(BuildError) as caught:
        gathered(tmp_path, *asked)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_newest_pure_releases_are_taken_with_what_they_need(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "Big_One", {"big.py": "V = 1\n"}, version="1.0")
    write_wheel(index, "Big_One", {"big.py": "V = 2\n"}, version="2.0", needs=["small>=1"])
    write_wheel(index, "small", {"small/__init__.py": "", "small/data.txt": "x"}, version="1.5")

    found = gathered(tmp_path, "big-one  # and what it needs")

    assert found.versions == {"big-one": "2.0", "small": "1.5"}
    assert found.warnings == []
    assert found.files["big.py"] == b"V = 2\n"
    assert {"small/__init__.py", "small/data.txt", "small-1.5.dist-info/METADATA"} <= found.files.keys()


def test_requirements_are_met_for_the_python_of_components_and_not_for_the_one_that_builds(
    index: Path, tmp_path: Path
) -> None:
    here = ['old; python_version < "3.14"', 'windows; sys_platform == "win32"', 'linux; sys_platform == "linux"']
    needs = [*here, 'guest; sys_platform == "wasi" and platform_machine == "wasm32" and python_version == "3.14"']
    write_wheel(index, "careful", {"careful.py": ""}, needs=needs)
    write_wheel(index, "guest", {"guest.py": ""})

    assert gathered(tmp_path, "careful").versions == {"careful": "1.0", "guest": "1.0"}


def test_files_of_requirements_may_refer_to_others_name_bounds_and_go_over_lines(index: Path, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        write_wheel(index, "one", {"one.py": ""}, version=version)
        write_wheel(index, "two", {"two.py": ""}, version=version)
    directory = project(tmp_path / "p")
    (directory / "more").mkdir()
    (directory / "more" / "base.txt").write_text("two \\\n  >= 1 # any\n")
    (directory / "bounds.txt").write_text("one<2\n")
    (directory / "requirements.txt").write_text("-r more/base.txt\n--constraint=bounds.txt\none\n")

    wanted = requirements_of(directory, read_manifest(directory))

    assert (wanted.lines, wanted.constraints) == (["two>=1", "one"], ["one<2"])
    assert gather_dependencies(directory, wanted, tmp_path / "s").versions == {"one": "1.0", "two": "2.0"}


def test_an_older_release_is_told_with_the_native_package_that_newer_ones_need(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "model", {"model.py": ""}, version="1.10")
    write_wheel(index, "model", {"model.py": ""}, version="2.0", needs=["model-core"])
    write_wheel(
        index, "model_core", {"model_core/__init__.py": "from ._core import x\n", "model_core/_core.so": ""}, LINUX
    )

    found = gathered(tmp_path, "model")

    assert found.versions == {"model": "1.10"}
    assert found.warnings == [
        "model 1.10 is an older release: 2.0 needs native code (model_core), and a sandbox runs pure Python"
    ]


def test_a_package_that_falls_back_to_python_loses_its_native_part_and_that_is_told(
    index: Path, tmp_path: Path
) -> None:
    python = {"quick/__init__.py": GUARDED, "quick/_slow.py": "speed = 'slow'\n"}
    write_wheel(index, "quick", {**python, **NATIVE}, LINUX, version="3.0")
    write_wheel(index, "page", {"page.py": "import quick\n"}, needs=["quick>=2"])

    found = gathered(tmp_path, "page")

    assert found.versions == {"page": "1.0", "quick": "3.0"}
    assert found.warnings == ["quick 3.0 is taken without its native part, in whose place it has slower Python"]
    assert {name for name in found.files if name.startswith("quick/")} == python.keys()


def test_a_pure_wheel_of_the_same_release_goes_before_all_else_and_nothing_is_told(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "quick", {"quick/__init__.py": GUARDED, "quick/_slow.py": "", **NATIVE}, LINUX)
    write_wheel(index, "quick", {"quick/__init__.py": "pure = True\n"})

    found = gathered(tmp_path, "quick")

    assert found.files["quick/__init__.py"] == b"pure = True\n"
    assert found.warnings == []


def test_a_package_without_a_pure_release_is_named_with_who_needs_it(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "core", {"core/__init__.py": "from ._core import x\n", "core/_core.so": ""}, LINUX)
    write_wheel(index, "web", {"web.py": ""}, needs=["core"])
    write_wheel(index, "site", {"site_.py": ""}, needs=["web"])

    assert refusal(tmp_path, "site") == (
        "no release without native code: core 1.0 (needed by web). A sandbox runs pure Python"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["atrs"], "there is no package 'atrs' on the index: look at how its name is written"),
        (["known>=9"], "no release fits 'known>=9': the newest is 1.0"),
        (["user"], "no release fits 'known>=7' (needed by user): the newest is 1.0"),
        (["sourced"], "the package 'sourced' has releases, but none as a wheel for Python 3.14: building one runs its"),
        (
            ["known>=1", "known<1"],
            "no releases fit each other: The user requested known>=1, The user requested known<1",
        ),
    ],
)
def test_what_cannot_be_found_is_told_apart(index: Path, tmp_path: Path, asked: list[str], message: str) -> None:
    write_wheel(index, "known", {"known.py": ""})
    write_wheel(index, "user", {"user.py": ""}, needs=["known>=7"])
    (index / "sourced-1.0.tar.gz").write_bytes(b"")

    assert refusal(tmp_path, *asked).startswith(message)


def test_an_index_that_does_not_answer_is_not_taken_for_a_misspelt_name(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")

    assert refusal(tmp_path, "attrs") == (
        "'attrs' was not found, because an index could not be reached (see 'pip config list')"
    )


def test_pip_gets_its_own_settings_of_the_authors_environment_and_no_token(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    run = subprocess.run

    def noting(command: list[str], **options: Any) -> Any:
        seen.append(options["env"])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", noting)
    for name in ("HOLDFAST_TOKEN", "AWS_SECRET_ACCESS_KEY", "PIP_EDITABLE", "PIP_REQUIREMENT", "PYTHONPATH"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.example")
    write_wheel(index, "known", {"known.py": ""})

    assert gathered(tmp_path, "known").versions == {"known": "1.0"}

    assert seen
    assert all("hunter2" not in each.values() and each["PIP_TRUSTED_HOST"] == "index.example" for each in seen)


@pytest.mark.parametrize(
    ("sources", "does"),
    [
        ({"quick/__init__.py": GUARDED}, True),
        ({"quick/__init__.py": "try:\n    from .c import *\nexcept ImportError:\n    pass\n",
          "quick/c.py": "from quick._fast import speed\n"}, True),
        ({"quick/__init__.py": "if 1:\n  try:\n    import quick._fast\n  except Exception:\n    f = 1\n"}, True),
        ({"quick/__init__.py": "from . import _fast\n"}, False),
        ({"quick/__init__.py": "from .use import f\n", "quick/use.py": "import quick._fast as f\n"}, False),
        ({"quick/__init__.py": "try:\n    from . import _fast\nexcept ImportError:\n    raise OSError()\n"}, False),
        ({"quick/__init__.py": "def f():\n    from quick import _fast\n    return _fast\n"}, False),
        ({"quick/__init__.py": "", "quick/use.py": "import os\n"}, False),
        ({"quick/__init__.py": "def broken(:\n"}, False),
        ({"quick/__init__.py": "", "quick/_fast.py": "speed = 1\n"}, True),  # compiled from the source beside it
    ],
)  # fmt: skip
def test_a_native_part_is_dropped_only_where_its_package_imports_it_under_a_guard(
    tmp_path: Path, sources: dict[str, str], does: bool
) -> None:
    wheel = write_wheel(tmp_path / "in", "quick", {**sources, **NATIVE}, LINUX)
    (tmp_path / "out").mkdir()

    assert (without_native_parts(wheel, tmp_path / "out") is not None) == does


def test_hashes_hold_for_what_is_downloaded_and_for_the_pure_part_of_it(index: Path, tmp_path: Path) -> None:
    python = {"quick/__init__.py": GUARDED, "quick/_slow.py": "speed = 'slow'\n"}
    wheels = [write_wheel(index, "quick", {**python, **NATIVE}, LINUX), write_wheel(index, "known", {"known.py": ""})]
    own = write_wheel(tmp_path / "p" / "wheels", "own", {"own.py": ""})
    sums = [hashlib.sha256(each.read_bytes()).hexdigest() for each in wheels]
    asked = [f"quick==1.0 \\\n  --hash=sha256:{sums[0]}", f"known==1.0 --hash=sha256:{sums[1]}", f"./wheels/{own.name}"]

    assert gathered(tmp_path, *asked).versions == {"known": "1.0", "own": "1.0", "quick": "1.0"}

    asked[1] = f"known==1.0 --hash=sha256:{'0' * 64}"
    shutil.rmtree(tmp_path / "scratch")
    (tmp_path / "p").rename(tmp_path / "before")
    own = write_wheel(tmp_path / "p" / "wheels", "own", {"own.py": ""})
    assert refusal(tmp_path, *asked).startswith("a package 'known==1.0' is not the one whose hash requirements.txt has")


def test_requirements_that_name_each_other_over_and_over_are_read_once_each(tmp_path: Path) -> None:
    directory = project(tmp_path / "p")
    for level in range(7):
        (directory / f"{level}.txt").write_text(f"-r {level + 1}.txt\n" * 50)
    (directory / "7.txt").write_text("small>=1\n-r 0.txt\n")
    (directory / "requirements.txt").write_text("-r 0.txt\n-c 7.txt\n")

    found = requirements_of(directory, read_manifest(directory))

    assert found.lines == ["small>=1"]
    assert found.constraints == ["small>=1"]


@pytest.mark.parametrize("name", ["tiny.whl", "tiny-1.0.whl", "tiny-x-py3-none-any.whl", "ti ny-1.0-py3-none-any.whl"])
def test_a_file_that_is_not_named_as_wheels_are_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    own = write_wheel(tmp_path / "p", "tiny", {"tiny.py": ""})
    own.rename(own.with_name(name))

    assert refusal(tmp_path, f"./{name}").startswith(f"requirements.txt:1: './{name}' is not named as wheels are: ")


def test_a_wheel_whose_files_cannot_be_unpacked_is_told(index: Path, tmp_path: Path) -> None:
    own = write_wheel(tmp_path / "p", "tiny", {"tiny.py": "V = 1\n" * 100})
    with zipfile.ZipFile(own) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(own, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in files.items():
            archive.writestr(each, content)
        at = 30 + len("tiny.py")
    whole = own.read_bytes()
    own.write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8 :])

    assert refusal(tmp_path, f"./{own.name}").startswith(f"{own.name} is no wheel that can be read: ")


def test_no_wheel_is_unpacked_whose_files_are_larger_than_all_packages_may_be(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "UNPACKED_BYTES_MAX", MIB)
    python = {"quick/__init__.py": GUARDED, "quick/_slow.py": "speed = 'slow'\n" * 90_000}
    write_wheel(index, "quick", {**python, **NATIVE}, LINUX)
    own = [write_wheel(tmp_path / "p", name, {f"{name}.py": "#" * (700 << 10)}) for name in ("one", "two")]
    huge = write_wheel(tmp_path / "p", "huge", {"huge-1.0.dist-info/LICENSE": "x" * (2 * MIB)})

    assert (
        refusal(tmp_path, "quick")
        == "quick-1.0-cp314-cp314-manylinux_2_17_x86_64.whl has more than 1 MiB or 50000 files"
    )
    shutil.rmtree(tmp_path / "scratch")
    assert refusal(tmp_path, f"./{huge.name}") == f"{huge.name} has more than 1 MiB or 50000 files"
    shutil.rmtree(tmp_path / "scratch")
    assert refusal(tmp_path, *(f"./{each.name}" for each in own)).startswith(
        "what the project depends on has more than"
    )


@pytest.mark.slow
def test_a_package_whose_metadata_no_memory_holds_ends_the_search_and_not_the_machine(
    index: Path, tmp_path: Path
) -> None:
    """pip reads it whole: a wheel of two megabytes took all the memory there was."""
    bomb = write_wheel(index, "bomb", {"bomb.py": ""})
    with zipfile.ZipFile(bomb) as archive:
        kept = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in kept.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
                for _ in range(1100 if name.endswith("METADATA") else 0):
                    file.write(bytes(MIB))

    assert refusal(tmp_path, "bomb") == (
        "finding the dependencies took more than 1 GiB of memory: one of them is no usual wheel"
    )


def test_whether_a_package_does_without_native_parts_is_found_in_time_in_proportion_to_its_modules(
    tmp_path: Path,
) -> None:
    def took_s(count: int) -> float:
        chain = {f"quick/m{at}.py": f"from . import m{at + 1}\n" for at in range(count)}
        sources = {"quick/__init__.py": GUARDED, **chain, f"quick/m{count}.py": "from . import _fast\n"}
        wheel = write_wheel(tmp_path / str(count), "quick", {**sources, **NATIVE}, LINUX)
        began = time.thread_time()
        assert without_native_parts(wheel, tmp_path) is not None
        return time.thread_time() - began

    assert took_s(3000) < 20 * took_s(300) + 1
