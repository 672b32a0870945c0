"""Rewriting the reference counts in a component's file, and what it is good for."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from holdfast_host.build.immortal_objects import IMMORTAL, IMMORTAL_MIN, OtherPythonError, make_immortal
from holdfast_host.build.project import build_project
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.engine import SandboxEngine
from holdfast_host.sandbox.instance import Sandbox
from tests.harness import components
from tests.unit.build import joint
from tests.unit.sandbox.turns import TestTurn


def counts(*values: int) -> str:
    return "".join(f"\\{byte:02x}" for value in values for byte in struct.pack("<I", value))


SMALL_AND_LARGE = f"""
(component
  (core module (memory 1) (data (i32.const 16) "{counts(1, 1)}"))
  (component
    (core module
      (memory 1)
      (data "{counts(1)}")
      (data (i32.const 100) "{counts(77)}")
      (data (i32.const 200) "{counts(1_013)}")
      (data (memory 0) (i32.const 16) "{counts(1, 2, 0, IMMORTAL_MIN + 7, 5)}")))
  (core module (table 1 funcref) (memory 1) (func $f) (elem (i32.const 0) $f)))
"""


GUEST: dict[str, Any] = {
    "implementation": "cpython",
    "version": [3, 14],
    "pointer_bytes": 4,
    "sentinel": {"address": 200, "references": 1_013},
}


def rewritten(tmp_path: Path, wat: str, addresses: bytes) -> tuple[int, bytes, bytes]:
    """How many counts, the component before, and after."""
    before = bytes(wat2wasm(wat))
    component, objects = tmp_path / "c.wasm", tmp_path / "objects"
    component.write_bytes(before)
    objects.write_bytes(json.dumps(GUEST).encode() + b"\n" + addresses)
    return make_immortal(component, objects), before, component.read_bytes()


def test_the_counts_of_the_largest_memory_are_rewritten_and_nothing_else(tmp_path: Path) -> None:
    number, before, after = rewritten(tmp_path, SMALL_AND_LARGE, struct.pack("<4I", 16, 20, 100, 20))

    large = struct.pack("<5I", 1, 2, 0, IMMORTAL_MIN + 7, 5)
    expected = before.replace(large, struct.pack("<5I", IMMORTAL, IMMORTAL, 0, IMMORTAL_MIN + 7, 5))
    expected = expected.replace(struct.pack("<I", 77), struct.pack("<I", IMMORTAL))
    assert number == 3
    assert after == expected


@pytest.mark.parametrize(
    "addresses",
    [
        struct.pack("<I", 24),  # no object has no references
        struct.pack("<I", 28),  # immortal already
        struct.pack("<I", 33),  # reaches past its segment
        struct.pack("<3I", 0, 8_000, 0xFFFFFFFF),  # nothing lies there
        b"\x10\0\0",  # not a whole address
        b"",
    ],
)
def test_an_address_without_a_count_is_left_alone(tmp_path: Path, addresses: bytes) -> None:
    number, before, after = rewritten(tmp_path, SMALL_AND_LARGE, addresses)

    assert (number, after) == (0, before)


@pytest.mark.parametrize(
    ("guest", "reason"),
    [
        ({"version": [3, 15]}, "its Python is cpython 3.15, known is cpython 3.14"),
        ({"implementation": "other"}, "its Python is other 3.14, known is cpython 3.14"),
        ({"pointer_bytes": 8}, "its pointers have 8 bytes, known are those of 4"),
        ({"sentinel": {"address": 100, "references": 1_013}}, "an object with 1013 references is not where"),
        ({"sentinel": {"address": 200, "references": 1_012}}, "an object with 1012 references is not where"),
        ({"sentinel": {"address": 9_000, "references": 1_013}}, "an object with 1013 references is not where"),
        ({"sentinel": None}, "what its guest says of itself cannot be read"),
        ({"version": 3}, "what its guest says of itself cannot be read"),
    ],
)
def test_no_byte_is_rewritten_unless_the_guest_is_proven_to_be_the_python_whose_counts_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guest: dict[str, Any], reason: str
) -> None:
    for key, value in guest.items():
        monkeypatch.setitem(GUEST, key, value)

    with pytest.raises(OtherPythonError, match=reason):
        rewritten(tmp_path, SMALL_AND_LARGE, struct.pack("<I", 16))

    assert (tmp_path / "c.wasm").read_bytes() == bytes(wat2wasm(SMALL_AND_LARGE))


@pytest.mark.parametrize("said", [b"", b"\x10\0\0\0", b"[]\n", b"{}\n"])
def test_a_guest_that_says_nothing_readable_of_itself_is_left_alone(tmp_path: Path, said: bytes) -> None:
    component, objects = tmp_path / "c.wasm", tmp_path / "objects"
    component.write_bytes(wat2wasm(SMALL_AND_LARGE))
    objects.write_bytes(said)

    with pytest.raises(OtherPythonError, match="cannot be read"):
        make_immortal(component, objects)


def test_a_component_without_a_memory_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(OtherPythonError, match="an object with 1013 references is not where"):
        rewritten(tmp_path, "(component)", struct.pack("<I", 16))

    assert (tmp_path / "c.wasm").read_bytes() == bytes(wat2wasm("(component)"))


INSIDE = """
import json
import sys
from holdfast import StatefulActor

TABLE = {"a": ["b"]}

class Inside(StatefulActor):
    def immortal(self):
        born_with = [json, json.dumps, json.dumps.__code__.co_consts, TABLE, TABLE["a"], Inside, Inside.immortal]
        return [all(map(sys._is_immortal, born_with)), sys._is_immortal(self), sys._is_immortal(["new"])]

    def changes(self):
        TABLE["a"].append(object())
        TABLE["c"] = TABLE.pop("a")
        return [len(TABLE["c"]), list(TABLE)]
"""


@pytest.fixture(scope="module")
def of_another_python(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A component whose Python is taken for another, and what its build said."""
    folder = tmp_path_factory.mktemp("another") / "account"
    said: list[str] = []
    shutil.copytree(components.ACCOUNT, folder, ignore=shutil.ignore_patterns("build"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast_host.build.immortal_objects.PYTHON", "cpython 3.99")
        return build_project(folder, said.append).path, said


@pytest.mark.slow
def test_the_build_of_another_python_warns_and_leaves_the_component_as_it_is(
    of_another_python: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    component, said = of_another_python
    left = component.read_bytes()
    monkeypatch.setattr("holdfast_host.build.project.make_immortal", lambda component, objects: 0)

    assert [line for line in said if line.startswith("warning")] == [
        "warning: the component is built, but each of its instances takes more memory: "
        "its Python is cpython 3.14, known is cpython 3.99"
    ]
    assert build_project(component.parents[1]).path.read_bytes() == left
    assert left != components.built(components.ACCOUNT).component.read_bytes()


@pytest.mark.slow
def test_what_a_component_is_born_with_is_immortal_and_can_be_changed_all_the_same() -> None:
    sandbox = joint.sandbox("Inside")

    assert sandbox.call("immortal") == [True, False, False]
    assert sandbox.call("changes") == [2, ["c"]]


def private_kib(compiled: Path) -> int:
    """What this process holds of its own in the memories that began as views of the compiled component's."""
    held, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line[0].isupper():
            ours = line.endswith(str(compiled))
        elif ours and line.startswith("Anonymous:"):
            held += int(line.split()[1])
    return held


def private_kib_of_an_activation(component: Path) -> float:
    engine = SandboxEngine(Limits())
    compiled = components.compiled(component)
    loaded = engine.load(compiled)
    sandboxes = []
    for name in range(8):
        sandbox, turn = Sandbox.create(loaded, TestTurn(), memory_bytes_max=64 * MIB), TestTurn()
        environment = json.dumps({"bindings": {"ACCOUNT": "Account"}, "variables": {}})
        assert sandbox.activate(turn, "Account", str(name).encode(), environment.encode())[0]
        for _ in range(50):
            assert sandbox.call(turn, b"deposit", b'{"amount":5}', False, False)[0]
        sandboxes.append(sandbox)
    held = private_kib(compiled) / len(sandboxes)
    for sandbox in sandboxes:
        sandbox.close()
    return held


@pytest.mark.slow
def test_an_activation_writes_to_little_of_the_memory_it_shares_and_without_this_to_much_more(
    of_another_python: tuple[Path, list[str]],
) -> None:
    mortal, _ = of_another_python

    with_it = private_kib_of_an_activation(components.built(components.ACCOUNT).component)
    without = private_kib_of_an_activation(mortal)

    assert 0 < with_it < 400, with_it
    assert without > 1.5 * with_it
