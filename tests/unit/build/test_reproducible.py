"""Unchanged sources give the same bytes: what else a build could read is fixed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from holdfast_host.build.process import fixed_inputs
from holdfast_host.build.project import build_project
from tests.unit.build.test_build import TEXTS, rich_project


@pytest.mark.slow
def test_unchanged_sources_give_the_same_bytes_elsewhere_and_at_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_project(rich_project(tmp_path / "one")).path.read_bytes()  # or as it was built before
    # Another disk where there is one: it lists and numbers its files otherwise. Files of another order, and older.
    other = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    there = other / f"holdfast-test-{os.getpid()}"
    monkeypatch.setenv("TMPDIR", str(other))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("tempfile.tempdir", str(other))
    try:
        project = rich_project(there / "two", TEXTS[::-1])
        os.utime(project / "src" / "app.py", (1, 1))
        second = build_project(project).path.read_bytes()
    finally:
        shutil.rmtree(there, ignore_errors=True)

    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()


SOURCE = Path(__file__).parents[3] / "tools" / "fixed_inputs"
COMPILER = "12"  # of gcc, which made the bytes that are shipped; others make other bytes of the same source
ON_X86_64 = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="machine code of x86-64"
)


@dataclass(frozen=True)
class Code:
    """Machine code, and where in it its functions begin."""

    text: str  # base64
    places: dict[str, int]


SHIPPED = Code(
    base64.b64encode(fixed_inputs._CODE).decode(),
    {
        "fixed_random": fixed_inputs._RANDOM_AT,
        "fixed_clock": fixed_inputs._CLOCK_AT,
        "trapped": fixed_inputs._TRAPPED_AT,
    },
)


def compiled() -> Code:
    """What this machine's compiler makes of the source."""
    shown = subprocess.run(["make", "-s", "-C", str(SOURCE), "show"], capture_output=True, text=True, check=True)
    places, text = {}, ""
    for line in shown.stdout.splitlines():
        if place := re.fullmatch(r"([0-9a-f]{16}) T (\w+)", line):
            places[place[2]] = int(place[1], 16)
        else:
            text += line
    return Code(text, places)


@ON_X86_64
def test_the_machine_code_is_what_its_source_compiles_to() -> None:
    version = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    made = compiled()

    assert made == SHIPPED or version.strip().partition(".")[0] != COMPILER
    assert made.places.keys() == SHIPPED.places.keys()
    assert base64.b64decode(made.text)[:40] == fixed_inputs._CODE[:40]  # seed and seconds come first


@ON_X86_64
@pytest.mark.parametrize("code_of", [lambda: SHIPPED, compiled], ids=["shipped", "compiled"])
def test_a_fixed_process_repeats_its_seed_stops_its_clock_and_lists_in_order(
    tmp_path: Path, code_of: Callable[[], Code]
) -> None:
    for number in reversed(range(3000)):
        (tmp_path / f"{number}").touch()
    script = """
import base64, ctypes, json, os, sys, threading, time
from holdfast_host.build.process import fixed_inputs
code = json.loads(sys.argv[2])
fixed_inputs._CODE = base64.b64decode(code["text"])
fixed_inputs._RANDOM_AT, fixed_inputs._CLOCK_AT = code["places"]["fixed_random"], code["places"]["fixed_clock"]
fixed_inputs._TRAPPED_AT = code["places"]["trapped"]
fixed = fixed_inputs.fix_inputs(bytes(range(32)), 1000)
drawn = []
thread = threading.Thread(target=lambda: drawn.append(os.urandom(33).hex()))
thread.start(); thread.join()
facts = ctypes.create_string_buffer(256)
failed = ctypes.CDLL(None).statx(-100, sys.argv[1].encode(), 0, 0xFFF, facts)
seen = [os.listdir(sys.argv[1]), failed, facts.raw[16:176].hex()]
json.dump([fixed, drawn[0], time.time(), time.monotonic(), *seen], sys.stdout)
"""
    command = [sys.executable, "-c", script, str(tmp_path), json.dumps(asdict(code_of()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fixed, drawn, now, monotonic, listed, failed, facts = json.loads(done.stdout)

    assert fixed
    assert drawn == bytes([*range(32), 0]).hex()
    assert now == monotonic == 1000
    assert listed == sorted(map(str, range(3000)))
    assert not failed
    kind = facts[24:28]  # stx_mode, the one thing that is left of a directory but owners and masks
    assert int.from_bytes(bytes.fromhex(kind), "little") & 0xF000 == 0x4000
    assert set(facts[32:64]) == {"0"}  # number and size
    assert set(facts[96:256]) == {"0"}  # the four times
