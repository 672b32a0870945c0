"""The listening sockets: HTTP for the fronts, one Unix socket per worker. All belong to the supervisor.

They outlive the processes that accept on them: while a worker or front is replaced, clients wait in the backlog. The
workers' sockets lie in a runtime directory with a short path, since a socket's path holds 108 bytes.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

from holdfast_host.core.config import HTTP_BACKLOG, Listen
from holdfast_host.core.errors import ConfigurationError

_PREFIX: Final = "holdfast-"
_PARENT_CHARS_MAX: Final = 70  # of the 108 of a path, leaving room for our folder's name and the socket's
_WORKER_BACKLOG: Final = 256


class RuntimeDirectory:
    """A private folder for the workers' sockets, removed when the host stops.

    One that a killed host left is removed by the next host on the same data directory, which reads the path from the
    lock's text: holding the lock proves that nobody uses the folder any more.
    """

    def __init__(self) -> None:
        parent = tempfile.gettempdir()
        if len(parent) > _PARENT_CHARS_MAX:
            parent = "/tmp"  # noqa: S108 mkdtemp makes a private folder there
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))

    def listen(self, name: str) -> socket.socket:
        """A Unix socket that listens under this name."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.path / name))
        listener.listen(_WORKER_BACKLOG)
        return listener

    def remove(self) -> None:
        """Remove the folder; what cannot be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_leftover(path: str) -> bool:
    """Remove the runtime directory of a dead host, if that is what the path leads to; True when it was removed."""
    folder = Path(path)
    if not folder.is_absolute() or not folder.name.startswith(_PREFIX):
        return False
    try:
        facts = folder.lstat()
        ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and stat.S_IMODE(facts.st_mode) == 0o700
        if not ours or not all(entry.is_socket() for entry in folder.iterdir()):
            return False
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()
    except OSError:
        return False
    return True


def bind_http(listen: Listen) -> socket.socket:
    """The HTTP socket, bound; see `begin_listening`.

    Raises:
        ConfigurationError: the address is taken or not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {listen}: {error.strerror}; mend {listen.flag}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _taken(listen, error) from error
    listener.setblocking(False)
    return listener


def begin_listening(listener: socket.socket, listen: Listen) -> None:
    """Have clients wait in the backlog from now on; before, they are refused.

    Raises:
        ConfigurationError: another process listens there since.
    """
    try:
        listener.listen(HTTP_BACKLOG)
    except OSError as error:
        raise _taken(listen, error) from error


def _taken(listen: Listen, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot listen on {listen}: {error.strerror}; stop what listens there, or choose another {listen.flag}"
    )


def url_of(listen: Listen, listener: socket.socket, *, encrypted: bool) -> str:
    """The URL under which this host is reached, with the port that it really got."""
    return f"{'https' if encrypted else 'http'}://{Listen(listen.host, int(listener.getsockname()[1]))}"
