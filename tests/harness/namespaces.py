"""A PostgreSQL server in a network namespace of its own, the way to which is cut for real; only root can make one."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.postgres import Server, programs

_numbers = itertools.count(1)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Net:
    """A pair of addresses, ours and theirs, of which the latter is in another namespace."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.name = f"hf{os.getpid()}n{number}"
        self._link = f"hf{os.getpid() % 100_000}v{number}"
        subnet = f"10.{os.getpid() % 200 + 20}.{number}"
        self.here, self.there = f"{subnet}.1", f"{subnet}.2"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "v", "netns", self.name)
        _ip("addr", "add", f"{self.here}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        _ip("-n", self.name, "addr", "add", f"{self.there}/30", "dev", "v")
        _ip("-n", self.name, "link", "set", "v", "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    def lose_questions(self) -> None:
        """What we send is lost on its way; what they send arrives."""
        _ip("route", "add", "blackhole", f"{self.there}/32")

    def lose_answers(self) -> None:
        """What they send is lost on its way; what we send arrives."""
        _ip("-n", self.name, "route", "add", "blackhole", f"{self.here}/32")

    def cut(self) -> None:
        """Their end of the wire is down."""
        _ip("-n", self.name, "link", "set", "v", "down")

    def mend(self) -> None:
        """All arrives again."""
        for way in ((), ("-n", self.name)):
            for address in (self.here, self.there):
                blackhole = ["ip", *way, "route", "del", "blackhole", f"{address}/32"]
                subprocess.run(blackhole, check=False, capture_output=True)
        _ip("-n", self.name, "link", "set", "v", "up")

    def remove(self) -> None:
        _ip("netns", "del", self.name)  # and with it the wire


class FarServer(Server):
    """One at the other end of a net."""

    def __init__(self, binaries: Path, net: Net) -> None:
        self.address = net.there
        self.launcher = ("ip", "netns", "exec", net.name)
        self._net = net
        super().__init__(binaries)

    def start(self) -> None:
        """Let in who comes from our end, then start it."""
        known = self.data / "pg_hba.conf"
        line = f"host all all {self._net.here}/32 trust\n"
        if line not in known.read_text():
            known.write_text(known.read_text() + line)
            shutil.chown(known, "postgres", "postgres")
        super().start()


@contextmanager
def far_server() -> Iterator[tuple[FarServer, Net]]:
    """Such a server; the test is skipped where there can be none."""
    binaries = programs()
    if os.geteuid() != 0 or shutil.which("ip") is None or binaries is None:
        pytest.skip("only root can cut a net, with PostgreSQL and iproute2 installed")
    try:
        net = Net()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode(errors='replace').strip()}")
    try:
        server = FarServer(binaries, net)
        try:
            yield server, net
        finally:
            net.mend()
            server.remove()
    finally:
        net.remove()
