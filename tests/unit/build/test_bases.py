"""Builds that go on from a base: they give what a whole build gives, and where they cannot, a whole one is made.

The base is a real one, made once for all of these tests. Where componentize-py must not be needed, it fails.
"""

from __future__ import annotations

import asyncio
import shutil
import stat
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from wasmtime import Instance, Memory, Module, Store, wat2wasm
from wasmtime.component import Component

from holdfast_host.build.base.kept import SECRET_BYTES, Base, base_of
from holdfast_host.build.base.memory_snapshot import with_memory
from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import build_project, laid_out, prepare_base
from holdfast_host.core.failures import required
from holdfast_host.core.limits import Limits
from holdfast_host.core.wasm_binary import section_bytes, sections
from holdfast_host.sandbox.components.compile_client import compile_component
from tests.harness import components
from tests.harness.wheels import write_wheel
from tests.unit.build.test_build import MANIFEST, project
from tests.unit.guest.plain_host import PlainHost, quick_engine

APP = """
import json
import random
from helper.inner import mean
from tiny import ANSWER
from holdfast import StatefulActor

R = random.Random()
NAMES = {str(each) for each in range(20)}

class Trial(StatefulActor):
    '''An actor.'''

    def mean(self, values: list) -> float:
        '''Their mean.'''
        return mean(values) + ANSWER

    def names(self) -> str:
        return json.dumps(list(NAMES))

    def draw(self) -> float:
        return R.random()

    def place(self) -> list:
        return [__file__, __name__, __spec__.origin, type(__loader__).__name__, __package__]

    def late(self) -> str:
        from tiny.inner import LATE
        return LATE

    def fail(self) -> None:
        raise ValueError("no")

    def missing(self) -> None:
        import nowhere

    def read(self) -> str:
        return open("/1/app.py").read()
"""
HELPER = "import statistics\n\ndef mean(values):\n    return statistics.mean(values)\n"
TINY = {"tiny/__init__.py": "ANSWER = 42\n", "tiny/inner.py": "LATE = 'late'\n"}


def _project(directory: Path, app: str = APP) -> Path:
    project(directory, app, f'{MANIFEST}dependencies = ["./tiny-1.0-py3-none-any.whl"]\n')
    write_wheel(directory, "tiny", TINY)
    (directory / "src" / "helper").mkdir(exist_ok=True)
    (directory / "src" / "helper" / "inner.py").write_text(HELPER)
    return directory


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a user who has the base of these tests, which is made once for all processes that run them."""
    home = tmp_path_factory.mktemp("cache")
    bases = home / "holdfast" / "bases"
    bases.mkdir(parents=True)
    (bases / "secret").write_bytes(bytes(SECRET_BYTES))
    first = _project(tmp_path_factory.mktemp("first") / "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        with laid_out(first, lambda stage: None, Limits(), "") as (work, *_):
            base = required(base_of(work), "the base of the tests' project")

        def make(target: Path) -> None:
            assert prepare_base(first)
            with tarfile.open(target, "w") as archive:
                archive.add(base.folder, base.folder.name)

        kept = components.made_once(f"base-{base.folder.name}.tar", make)
    if not base.folder.exists():
        with tarfile.open(kept) as archive:
            archive.extractall(bases, filter="data")
    return home / "holdfast"


class _WholeBuildError(Exception):
    """componentize-py was asked."""


@pytest.fixture
def quick(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Builds a project from the base; _WholeBuildError where it is not done from that."""

    def refuse(work: Path, seed: str) -> str:
        raise _WholeBuildError

    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    monkeypatch.setattr("holdfast_host.build.project._componentize", refuse)
    return lambda directory: build_project(directory, quickly=True).path


@pytest.fixture
def built(quick: Callable[[Path], Path], tmp_path: Path) -> Path:
    """A component that was built from the base."""
    return quick(_project(tmp_path / "built"))


@pytest.mark.slow
def test_a_build_from_a_base_gives_what_its_sources_say(built: Path) -> None:
    host = PlainHost(engine := quick_engine(), Component(engine, built.read_bytes()))
    one, two = host.sandbox("Trial", "one"), host.sandbox("Trial", "two")
    [actor] = one.describe()["actors"]

    assert (actor["type"], actor["doc"]) == ("Trial", "An actor.")
    assert "development" not in one.describe()
    assert one.call("mean", "[[1, 2, 3]]") == 44
    assert one.call("late") == "late", "packages are carried"
    assert one.call("names") == two.call("names"), "the hash seed is the component's"
    assert one.call("draw") != two.call("draw"), "randomness is the sandbox's"
    assert one.call("place") == ["/1/app.py", "app", "/1/app.py", "ShownLoader", ""], "as in a whole build"
    assert 'raise ValueError("no")' in one.call("fail")["traceback"]
    assert 'File "src/app.py"' in one.call("fail")["traceback"]
    assert "No module named 'nowhere' in this component" in one.call("missing")["message"]
    assert "has no files" in one.call("read")["message"] or "have no files" in one.call("read")["message"]


@pytest.mark.slow
def test_the_same_sources_give_the_same_bytes_from_the_same_base(
    built: Path, quick: Callable[[Path], Path], cache: Path, tmp_path: Path
) -> None:
    before = built.read_bytes()
    shutil.rmtree(cache / "builds")

    assert quick(_project(tmp_path / "again")).read_bytes() == before
    assert quick(_project(tmp_path / "changed", APP.replace("An actor", "Another"))).read_bytes() != before


@pytest.mark.slow
def test_a_host_compiles_what_comes_from_one_base_once(
    built: Path, quick: Callable[[Path], Path], tmp_path: Path
) -> None:
    changed = quick(_project(tmp_path / "changed", APP.replace("An actor", "Another")))
    stages: list[list[str]] = [[], []]

    async def compile_both() -> list[dict[str, Any]]:
        both = zip((built, changed), stages, strict=True)
        made = [await compile_component(each, tmp_path / "compiled", Limits(), said.append) for each, said in both]
        return [each.description for each in made]

    first, second = asyncio.run(compile_both())

    assert stages == [["checking", "compiling", "trying"], ["checking", "reusing", "trying"]]
    assert [each["actors"][0]["doc"] for each in (first, second)] == ["An actor.", "Another."]


@pytest.mark.slow
@pytest.mark.parametrize(
    "added",
    [
        pytest.param("import os\nFOUND = os.path.exists('/1/app.txt')", id="looks for a file"),
        pytest.param("try:\n    T = open('/1/app.txt').read()\nexcept OSError:\n    T = ''", id="opens a file"),
        pytest.param("import os\ntry:\n    os.listdir('/1')\nexcept OSError:\n    pass", id="lists a folder"),
        pytest.param("import importlib\nM = importlib.import_module('ctypes.util')", id="asks for what a base lacks"),
        pytest.param("raise RuntimeError('no')", id="fails"),
        pytest.param("import time\nBEGAN = time.time()", id="reads the clock"),
        pytest.param("import statistics as s\nimport queue", id="imports more of Python"),
        pytest.param("CONTENT = bytes(200 << 20)", id="takes more than a sandbox has"),
    ],
)
def test_sources_that_want_more_than_a_base_has_are_built_whole(
    added: str, quick: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(_WholeBuildError):
        quick(_project(tmp_path / "p", f"{APP}\n{added}\n"))


@pytest.mark.slow
def test_a_base_that_is_damaged_is_removed_and_a_whole_build_made(
    quick: Callable[[Path], Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(cache / "bases", tmp_path / "cache" / "holdfast" / "bases")
    [compiled] = (tmp_path / "cache").rglob("*.cwasm")
    compiled.write_bytes(b"no" + compiled.read_bytes()[2:])
    with pytest.raises(_WholeBuildError):
        quick(_project(tmp_path / "p"))

    assert not compiled.exists()


def test_modules_called_like_those_of_python_are_built_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    named = project(tmp_path / "p", queue="A = 1\n")

    assert not prepare_base(named), "a whole build finds Python's own first"


def test_the_secret_of_the_hash_seed_is_one_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: list[str] = []

    def note(work: Path, seed: str) -> str:
        secrets.append(seed)
        return ""

    for user in ("one", "two", "one"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / user))
        monkeypatch.setattr("holdfast_host.build.project._componentize", note)
        with pytest.raises(BuildError):
            prepare_base(project(tmp_path / "p"))
        place = tmp_path / user / "holdfast" / "bases" / "secret"
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert len(place.read_bytes()) == SECRET_BYTES

    assert secrets[0] == secrets[2] != secrets[1], "so that nobody can send keys that collide"


MODULE = wat2wasm('(module (memory (export "memory") 2) (data (i32.const 8) "old"))')
COMPONENT = b"\0asm\x0d\0\1\0" + section_bytes(1, bytes(MODULE))


def test_a_component_begins_with_the_memory_of_a_sandbox() -> None:
    memory = bytearray(2 * 65536 + 65536)
    memory[5_000:5_003], memory[-1:] = b"new", b"!"
    same = with_memory(COMPONENT, bytes(memory[: 2 * 65536]), 0)
    grown = with_memory(COMPONENT, bytes(memory), 0)

    assert _memory(same) == bytes(memory[: 2 * 65536])
    assert _memory(grown) == bytes(memory)


def test_what_a_host_added_to_a_memory_is_no_part_of_the_component() -> None:
    memory = bytearray(3 * 65536)
    memory[7:8], memory[-4:] = b"x", b"MOVE"

    assert _memory(with_memory(COMPONENT, bytes(memory), 65536)) == bytes(memory[: 2 * 65536])
    assert _memory(with_memory(COMPONENT, bytes(memory) + b"y" * 65536, 65536))[-65540:] == bytes(4) + b"y" * 65536
    with pytest.raises(ValueError, match="where the component starts with 196608"):
        with_memory(COMPONENT, bytes(memory[: 2 * 65536]), 65536)


def _memory(component: bytes) -> bytes:
    """What its module begins with."""
    [(start, end)] = [(at, after) for section, at, after in sections(component, 0, len(component)) if section == 1]
    store = Store()
    module = Module(store.engine, component[start:end])
    instance = Instance(store, module, [])
    memory = instance.exports(store)["memory"]
    assert isinstance(memory, Memory)
    return bytes(memory.read(store))


def test_two_that_prepare_one_base_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Base] = []

    def make(work: Path, base: Base, *_: object) -> None:
        made.append(base)
        time.sleep(0.1)  # in which the other one comes
        base.folder.mkdir()
        base.component.write_bytes(b"")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("holdfast_host.build.project.make_base", make)
    directory = _project(tmp_path / "one")
    with ThreadPoolExecutor() as threads:
        assert list(threads.map(prepare_base, [directory] * 2)) == [True, True]

    assert len(made) == 1
