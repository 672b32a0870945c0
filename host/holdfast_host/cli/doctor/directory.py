"""A data directory from outside, also while a host runs in it: whose it is, who holds it, what format it has."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from holdfast_host.cli.doctor.checks import Check, State
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import read_data_directory

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def directory_checks(data: Path) -> Iterator[Check]:
    """All of them; of one that is not there yet, that it can be made."""
    if not _is_there(data):
        above = nearest(data)
        if os.access(above, os.W_OK | os.X_OK):
            yield Check.ok("directory", f"{data} is not there yet: 'holdfast serve' makes it")
        else:
            todo = f"let this user write into {above}, or choose another --data"
            yield Check.fault("directory", f"{data} is not there, as far as this user sees, and cannot be made", todo)
        return
    if not data.is_dir():
        yield Check.fault("directory", f"{data} is no directory", "name a directory with --data")
        return
    owner = owner_check(data, os.geteuid())
    yield owner
    if owner.state is State.FAULT:
        return  # nothing in it can be read
    yield format_check(data)
    yield lock_check(data)


def nearest(path: Path) -> Path:
    """The path, or the first folder above it that there is."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if _is_there(each))


def _is_there(path: Path) -> bool:
    """Not for whom a folder above it is closed, of which the library's own makes an error."""
    return os.path.exists(path)


def owner_check(data: Path, user: int) -> Check:
    """Whose it is, and who else may look in."""
    facts = data.stat()
    said = f"{data} belongs to user {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):04o}"
    if user not in (facts.st_uid, 0) or not os.access(data, os.W_OK | os.X_OK):
        return Check.fault("owner", f"{said}, and this is user {user}", f"chown -R {user} {data}, or run as its owner")
    if facts.st_mode & _OTHERS:
        return Check.warning(
            "owner", f"{said}: others can look in", f"chmod 700 {data}: it holds secrets and their key"
        )
    return Check.ok("owner", said)


def format_check(data: Path) -> Check:
    """Whether this release reads it."""
    try:
        found = read_data_directory(data)
    except ConfigurationError as error:
        return Check.fault("format", error.message, "use the release that wrote it, or restore a backup")
    if found is None:
        foreign = sorted(each.name for each in data.iterdir() if each.name != "lock")
        if foreign:
            said = f"{data} has no format.json, and other things: {', '.join(foreign[:3])}"
            return Check.fault("format", said, "name another --data, or restore a backup into an empty one")
        return Check.ok("format", "empty: 'holdfast serve' makes it")
    return Check.ok("format", f"format {found.format}, {found.partitions} partitions")


def lock_check(data: Path) -> Check:
    """Who holds it; looking does not disturb him."""
    try:
        descriptor = os.open(data / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Check.ok("lock", "nobody holds it")
    except OSError as error:
        return Check.fault("lock", f"{data / 'lock'} cannot be opened: {error.strerror}", "run as its owner")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = {}
        with suppress(ValueError):
            holder = json.loads(os.read(descriptor, 4096) or b"{}")
        return Check.ok("lock", f"the host with pid {holder.get('pid', '?')} at {holder.get('url', '?')} holds it")
    finally:
        os.close(descriptor)
    return Check.ok("lock", "nobody holds it")
