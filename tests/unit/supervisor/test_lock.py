"""One data directory, one host."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.supervisor.directory.lock import DirectoryLock, Holder
from holdfast_host.supervisor.verification import verify_directory
from tests.unit.supervisor.running import RunningHost


def test_a_second_host_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    with DirectoryLock.acquire(tmp_path) as lock:
        lock.describe(Holder(4711, "http://127.0.0.1:8787"))

        with pytest.raises(ConfigurationError, match=r"held by the host with pid 4711 at http://127.0.0.1:8787"):
            DirectoryLock.acquire(tmp_path, wait_s=0.1)


def test_a_second_host_waits_for_the_leftovers_of_a_dead_one(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    lock.describe(Holder(4711, "", "/tmp/holdfast-gone"))
    leftover = subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=(lock.fd,), stdin=subprocess.PIPE)
    os.close(lock.fd)  # the supervisor is gone, its child is not
    assert leftover.stdin is not None
    threading.Timer(0.3, leftover.stdin.close).start()

    with DirectoryLock.acquire(tmp_path, wait_s=10) as successor:
        assert successor.predecessor == Holder(4711, "", "/tmp/holdfast-gone")
    leftover.kill()
    leftover.wait()


def test_who_verifies_what_a_killed_host_left_leaves_its_leftovers_to_the_next_host(tmp_path: Path) -> None:
    ensure_data_directory(tmp_path, 1)
    killed = DirectoryLock.acquire(tmp_path)
    killed.describe(Holder(4711, "http://127.0.0.1:8787", "/tmp/holdfast-gone"))
    os.close(killed.fd)
    list(verify_directory(tmp_path))

    with DirectoryLock.acquire(tmp_path) as successor:
        assert successor.predecessor == Holder(4711, "http://127.0.0.1:8787", "/tmp/holdfast-gone")


def test_a_release_in_order_leaves_no_trace_of_the_holder(tmp_path: Path) -> None:
    with DirectoryLock.acquire(tmp_path):
        pass

    with DirectoryLock.acquire(tmp_path) as lock:
        assert lock.predecessor is None


def test_the_directory_stays_locked_while_a_child_of_a_killed_supervisor_runs(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=(lock.fd,), stdin=subprocess.PIPE)
    os.close(lock.fd)
    with (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child.communicate()

    with DirectoryLock.acquire(tmp_path, wait_s=0.1):
        pass


def test_every_child_inherits_the_lock(host: RunningHost) -> None:
    host.start()
    lock = host.data / "lock"

    for pid in [*host.pids("worker"), *host.pids("front")]:
        held = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert str(lock) in held


def test_a_running_host_refuses_a_second_one_and_goes_on(host: RunningHost, tmp_path: Path) -> None:
    announced = host.start()
    with pytest.raises(ConfigurationError, match=announced["url"]):
        DirectoryLock.acquire(host.data, wait_s=0)

    assert host.who()["pid"]


def test_a_lock_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()

    with pytest.raises(ConfigurationError, match="/lock cannot be opened"):
        DirectoryLock.acquire(tmp_path)
