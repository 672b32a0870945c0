"""Wheel and sdist, as an index would have them: built, judged, installed into fresh environments, and used from there.

What comes with them is taken from the index, or from pip's cache of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast_host import __version__
from holdfast_host.cli.main import _COMMANDS
from tests.harness.caller import Caller
from tests.harness.components import PROJECT
from tests.harness.host import HostProcess

pytestmark = [pytest.mark.dist, pytest.mark.slow]

OF_THE_HOST = ("serve", "dev", "build", "doctor", "tune", "restore .", "verify .", "deploy .", "types shop", "rollback")


def run(*words: str | Path, cwd: Path = PROJECT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command to its end, with no variable of ours but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "PYTHONPATH"))}
    return subprocess.run(words, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, check=False)


def succeeds(*words: str | Path, cwd: Path = PROJECT, **variables: str) -> str:
    """What it prints."""
    done = run(*words, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Environment:
    """A fresh virtual environment."""

    folder: Path

    @classmethod
    def with_installed(cls, folder: Path, *requirements: str) -> Environment:
        """Made with these from the index."""
        succeeds(sys.executable, "-m", "venv", "--without-pip", folder)
        made = cls(folder)
        made.install(*requirements)
        return made

    def install(self, *requirements: str) -> None:
        """Add these."""
        pip = (sys.executable, "-m", "pip", "--python", self.program("python"), "install", "--quiet")
        succeeds(*pip, "--disable-pip-version-check", *requirements)

    def program(self, name: str) -> Path:
        """Where a script of it lies."""
        return self.folder / "bin" / name

    def holdfast(self, words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of it."""
        return run(self.program("holdfast"), *words.split(), cwd=cwd, **variables)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The sdist, and the wheel that is built from that."""
    folder = tmp_path_factory.mktemp("dist")
    succeeds(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PROJECT)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def bare(built: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install holdfast`."""
    return Environment.with_installed(tmp_path_factory.mktemp("bare") / "venv", str(built["wheel"]))


@pytest.fixture(scope="module")
def whole(built: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install 'holdfast[host]'`."""
    return Environment.with_installed(tmp_path_factory.mktemp("whole") / "venv", f"{built['wheel']}[host]")


@pytest.fixture(scope="module")
def shop(whole: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, HostProcess]]:
    """The README's way: a project that is deployed, and the host that runs it, from the wheel alone."""
    readme = (PROJECT / "README.md").read_text()
    for line in ("holdfast new shop && cd shop", "holdfast serve &", "holdfast deploy"):
        assert f"\n{line} " in readme, "the README goes another way"
    folder = tmp_path_factory.mktemp("readme")
    assert whole.holdfast("new shop", folder).returncode == 0
    with HostProcess(folder / "data", command=(str(whole.program("holdfast")),)) as host:
        deployed = whole.holdfast("deploy", folder / "shop", HOLDFAST_HOST=host.url)
        assert deployed.returncode == 0, deployed.stderr
        yield folder / "shop", host


def test_the_sdist_builds_the_wheel_that_the_sources_build(built: Mapping[str, Path], tmp_path: Path) -> None:
    succeeds(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, PROJECT)

    [wheel] = tmp_path.iterdir()
    assert wheel.name == built["wheel"].name
    assert wheel.read_bytes() == built["wheel"].read_bytes()


def test_an_index_takes_both(built: Mapping[str, Path]) -> None:
    said = succeeds(sys.executable, "-m", "twine", "check", "--strict", *built.values())

    assert said.count("PASSED") == 2, said


def test_they_hold_the_packages_and_no_tests_and_no_word_of_the_machine_that_built_them(
    built: Mapping[str, Path],
) -> None:
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(built["wheel"]) as wheel:
        files |= {name: wheel.read(name) for name in wheel.namelist()}
    in_wheel = set(files)
    with tarfile.open(built["sdist"]) as sdist:
        for member in sdist:
            file = sdist.extractfile(member)
            assert file is not None
            files[member.name.partition("/")[2]] = file.read()
    in_sdist = set(files) - in_wheel

    assert {each.partition("/")[0] for each in in_wheel} == {
        "holdfast",
        "holdfast_host",
        f"holdfast-{__version__}.dist-info",
    }
    assert in_wheel >= {"holdfast/py.typed", "holdfast_host/wit/world.wit"}
    assert {each.partition("/")[0] for each in in_sdist} <= {
        "host", "guest_sdk", "wit", "examples", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO",
        ".gitignore",
    }  # fmt: skip
    for name, content in files.items():
        path = Path(name)
        of_an_author = name.startswith(("examples/", "holdfast_host/templates/"))  # whose project has tests
        assert of_an_author or not any(part.startswith("test_") or part == "tests" for part in path.parts), name
        assert path.suffix not in {".pyc", ".so", ".wasm"}, name
        assert str(PROJECT).encode() not in content, name
        assert str(Path.home()).encode() + b"/" not in content, name


def test_nothing_compiled_comes_without_an_extra(bare: Environment) -> None:
    assert not list(bare.folder.rglob("*.so"))
    assert not list(bare.folder.rglob("wasmtime"))


def test_each_command_that_needs_the_host_names_the_extra(bare: Environment, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    for folder in (tmp_path, tmp_path / "shop"):
        (folder / "holdfast.toml").write_text('name = "shop"\nmain = "app.py"\n')
    for words in OF_THE_HOST:
        done = bare.holdfast(words, tmp_path)

        assert (done.returncode, done.stdout) == (1, ""), words
        command = words.partition(" ")[0]
        assert done.stderr.startswith(f"`holdfast {command}` needs the host: pip install 'holdfast[host]' ("), words
        assert len(done.stderr.splitlines()) == 1, words


def test_the_readmes_way_works_from_the_wheel(shop: tuple[Path, HostProcess]) -> None:
    _, host = shop
    with Caller(host.url) as caller:
        counted = caller.request("POST", "/v1/actors/Counter/visits/increment", '{"by":2}')
    page = succeeds("curl", "-sS", f"{host.url}/fn/shop/counters/visits")

    assert counted.text == '{"value":2}'
    assert json.loads(page) == {"value": 2}


def test_without_the_extra_the_commands_talk_to_a_host(
    bare: Environment, shop: tuple[Path, HostProcess], tmp_path: Path
) -> None:
    _, host = shop
    home = {"HOLDFAST_HOST": host.url, "XDG_CONFIG_HOME": str(tmp_path)}
    called = bare.holdfast("call Counter letters increment by=5", tmp_path, **home)
    listed = bare.holdfast("list", tmp_path, **home)
    typed = bare.holdfast("types --client actors.py", tmp_path, **home)
    stored = bare.holdfast("inspect Counter letters", tmp_path, **home)
    forgotten = bare.holdfast("auth status", tmp_path, **home)
    saved = bare.holdfast("backup shop.tar", tmp_path, **home)
    script = (
        "from holdfast.client import Client; from actors import Counter\n"
        f"with Client({host.url!r}) as client: print(client.actor(Counter, 'letters').value())"
    )
    asked = succeeds(bare.program("python"), "-c", script, cwd=tmp_path)

    for done in (called, listed, typed, stored, forgotten, saved):
        assert done.returncode == 0, done.stderr
    assert json.loads(called.stdout) == {"value": 5}
    assert "shop" in listed.stdout
    assert asked == "{'value': 5}\n"
    assert set(_COMMANDS) >= {words.partition(" ")[0] for words in OF_THE_HOST}


def test_without_the_extra_a_new_project_passes_its_tests(bare: Environment, tmp_path: Path) -> None:
    made = bare.holdfast("new shop --template chat", tmp_path)
    assert made.returncode == 0, made.stderr
    bare.install("pytest")
    said = succeeds(bare.program("python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "shop")

    assert " passed" in said
