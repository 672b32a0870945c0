"""A host with something in every place that the inspector shows, for its tests and pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
from websockets.sync.client import connect

from holdfast_host.storage.data_directory import partition_path
from holdfast_host.storage.lmdb.keys import (
    META_KEY,
    data_prefix,
    name_key,
    pack_meta,
    pack_name_row,
    unpack_meta,
    unpack_name_key,
)
from tests.harness import components
from tests.harness.browser import Page
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

CHAT = components.GUESTS / "chat"
JOBS = components.GUESTS / "jobs"
PATIENCE_S = 30.0
MANY = 1_000_000
KEY, VALUE = b"made", b"1"

# Each page with what stands there once it is filled.
PAGES = {
    "overview": ("", "document.querySelectorAll('.facts dd').length === 6"),
    "functions": ("functions", "document.querySelector('table') !== null"),
    "function": ("functions/probe", "document.querySelector('table') !== null"),
    "types": ("types", "document.querySelector('.card') !== null"),
    "type": ("types/Probe", "document.querySelector('.method') !== null"),
    "instances": ("instances/Probe", "document.querySelector('table') !== null"),
    "instance": ("instances/Probe/alice", "document.querySelector('.value') !== null"),
    "call": ("instances/Probe/alice/call", "document.querySelector('form.card') !== null"),
    "alarm": ("instances/Probe/alice/alarm", "document.querySelector('input[type=datetime-local]') !== null"),
    "jobs-of-one": ("instances/Purse/ann/jobs", "document.querySelector('table') !== null"),
    "sockets": ("instances/Room/lobby/sockets", "document.querySelector('table') !== null"),
    "log-of-one": ("instances/Probe/alice/log", "document.querySelector('.log li') !== null"),
    "quarantine": ("work", "document.querySelector('.empty') !== null"),
    "alarms": ("work/alarms", "document.querySelector('table') !== null"),
    "jobs": ("work/jobs", "document.querySelector('table') !== null"),
    "log": ("log", "document.querySelector('.log li') !== null"),
    "hosts": ("hosts", "document.querySelector('table') !== null"),
    "failure": ("functions/nothing", "document.querySelector('.view .failure') !== null"),
}


def show(page: Page, host: HostProcess, where: str) -> None:
    """Have a page show that place of the inspector, from anew."""
    page.go("about:blank")
    page.until("location.href", "about:blank")
    page.go(f"{host.url}/ui#/{where}")
    page.until("document.querySelector('.view h1, .view .failure') !== null")


@contextmanager
def inspected(data: Path) -> Iterator[HostProcess]:
    """It, with a socket that stays open."""
    with HostProcess(data, "--workers", "1", "--outbound", "http://*") as host:
        probe = components.built(components.PROBE)
        deploy(host, without_fragile(probe, data.parent))
        deploy(host, probe)
        deploy(host, components.built(CHAT))
        deploy(host, components.built(JOBS))
        fill(host)
        host.stop()
        add_instances(partition_path(data, 0), b"porcelain", MANY)
        host.start()
        room = host.url.replace("http:", "ws:") + "/v1/actors/Room/lobby/ws?user=ann"
        with connect(room) as client:
            assert client.recv(PATIENCE_S) == "welcome ann"
            yield host


def add_instances(partition: Path, like: bytes, count: int) -> None:
    """Instances of the type of one that is there, with a key each, written past the host, which must not run."""
    with lmdb.open(str(partition), map_size=4 << 30, lib_version=0) as env, env.begin(write=True) as txn:
        row = txn.get(META_KEY)
        assert row is not None
        meta = unpack_meta(row, str(partition))
        [type_id] = [
            unpack_name_key(key)[0] for key, _ in txn.cursor().iternext() if key[0] == 1 and key.endswith(like)
        ]
        named = range(meta.next_number, meta.next_number + count)
        for at, number in enumerate(named):
            row = pack_name_row(number, len(KEY) + len(VALUE), number, 0)
            txn.put(name_key(type_id, b"vase-%07d" % at), row)
        for number in named:
            txn.put(data_prefix(number) + KEY, VALUE)
        txn.put(META_KEY, pack_meta(meta._replace(next_number=named.stop)))


def without_fragile(component: TestComponent, folder: Path) -> TestComponent:
    """An earlier version of the probe, which ships one type less."""
    text = component.manifest.read_text()
    manifest = folder / "earlier.toml"
    manifest.write_text(text.replace('[[actors]]\nbinding = "FRAGILE"\ntype = "Fragile"\n', ""))
    assert manifest.read_text() != text
    return replace(component, manifest=manifest)


def fill(host: HostProcess) -> None:
    """Instances with storage, alarms, jobs and lines of log; calls that fail."""
    with host.caller() as caller:
        values: dict[str, Any] = {
            "balance": 70,
            "name": "Alice Example",
            "rate": 1.5,
            "settings": {"theme": "dark", "limits": [10, 20, 30], "since": None},
            "visits:2026-11-29": 4,
            "visits:2026-11-30": 12,
        }
        assert caller.call("Probe", "alice", "put_many", values).status == 200
        for number in range(120):
            assert caller.call("Probe", f"user-{number:04}", "put", "n", number).status == 200
        assert caller.call("Fragile", "porcelain", "made").status == 200
        assert caller.call("Fragile", "bad", "made").status == 500
        assert caller.call("Probe", "alice", "raise_only").status == 500
        assert caller.call("Probe", "alice", "say", 3).status == 200
        assert caller.call("Probe", "alice", "say", 1, "paid: order 1041, 12.50 EUR").status == 200
        assert caller.call("Probe", "alice", "arm", 1, 86_400).status == 200
        assert caller.call("Probe", "user-0001", "arm", 1, 3_600).status == 200
        assert caller.call("Purse", "ann", "deposit", 100).status == 200
        assert caller.call("Purse", "ann", "remind", 86_400, "rent", "rent").status == 200
        assert caller.call("Purse", "ann", "fail_later").status == 200
        ends_at = time.monotonic() + PATIENCE_S
        while not any(each["state"] == "retrying" for each in caller.request("GET", "/v1/jobs").value["jobs"]):
            assert time.monotonic() < ends_at
            time.sleep(0.02)


def text_of(selector: str) -> str:
    """The script that gives the text of an element."""
    return f"document.querySelector({json.dumps(selector)})?.innerText"
