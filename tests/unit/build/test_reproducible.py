"""Unchanged sources give the same bytes: what else a build could read is fixed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_host.build import build_project

MANIFEST = 'name = "trial"\nmain = "src/app.py"\ncompatibility_date = "2026-11-01"\n'

# What differs from build to build in ordinary Python: sets, times, listings, numbers of files, addresses.
APP = """
import os, random, time
from pathlib import Path

from holdfast import StatefulActor

NAMES = {f"name {number}" for number in range(100)}
LISTED = [entry.name for entry in os.scandir(Path(__file__).parent)]
TABLE = (Path(__file__).parent / "table.txt").read_text()
STATED = os.stat(__file__)
DICE = random.Random()

class Trial(StatefulActor):
    def names(self):
        return list(NAMES)
"""


def _project(directory: Path, files: list[str]) -> Path:
    (directory / "src").mkdir(parents=True)
    for name in files:
        (directory / "src" / f"{name}.txt").write_text(name)
    (directory / "src" / "app.py").write_text(APP)
    (directory / "holdfast.toml").write_text(MANIFEST)
    return directory


@pytest.mark.slow
def test_unchanged_sources_give_the_same_bytes_elsewhere_and_at_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["table", *(f"z{number}" for number in range(30))]
    first = build_project(_project(tmp_path / "one", names)).path.read_bytes()
    # Another disk where there is one: it lists and numbers its files otherwise. Files of another order, and older.
    other = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    there = other / f"holdfast-test-{os.getpid()}"
    monkeypatch.setenv("TMPDIR", str(other))
    monkeypatch.setattr("tempfile.tempdir", str(other))
    try:
        project = _project(there / "two", names[::-1])
        os.utime(project / "src" / "app.py", (1, 1))
        second = build_project(project).path.read_bytes()
    finally:
        shutil.rmtree(there, ignore_errors=True)

    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="machine code of x86-64")
def test_a_fixed_process_repeats_its_seed_stops_its_clock_and_lists_in_order(tmp_path: Path) -> None:
    for number in reversed(range(3000)):
        (tmp_path / f"{number}").touch()
    script = """
import ctypes, json, os, sys, threading, time
from holdfast_host.build.process.fixed_inputs import fix_inputs
fixed = fix_inputs(bytes(range(32)), 1000)
drawn = []
thread = threading.Thread(target=lambda: drawn.append(os.urandom(33).hex()))
thread.start(); thread.join()
facts = ctypes.create_string_buffer(256)
failed = ctypes.CDLL(None).statx(-100, sys.argv[1].encode(), 0, 0xFFF, facts)
seen = [os.listdir(sys.argv[1]), failed, facts.raw[16:176].hex()]
json.dump([fixed, drawn[0], time.time(), time.monotonic(), *seen], sys.stdout)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
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
