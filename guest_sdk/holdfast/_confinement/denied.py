"""What there is not where actors run - network, threads, files, processes, sleep - and the sentence that says so.

Python has a hundred doors to these. Nearly all of them report to audit hooks before they open, whatever name they are
called by: that is where they are refused, each with the exception that callers of that door expect. The few that do not
report are in `_amended`. Nothing here knows whether it runs in a component or in a test kit.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any, Final, NoReturn

_NO_NETWORK: Final = (
    "actors and functions have no network of their own; ask with holdfast.http, for what [outbound] allow in"
    " holdfast.toml lists"
)
_NO_THREADS: Final = (
    "actors and functions have no threads, their turns run one at a time; call the function itself, or share the work"
    " out to other instances (self.env)"
)
_NO_WAKER: Final = (
    "it would wait for ever: actors and functions have no threads, and nothing else runs that could end this wait"
)
_NO_FILES: Final = (
    "actors and functions have no files; keep what changes in self.ctx.storage, and read what does not change at the"
    " top of a module, while the component is built"
)
_NO_PROCESSES: Final = (
    "actors and functions have no processes and start no programs; do it in Python, or outside, in the program that"
    " calls them"
)
_NO_SIGNALS: Final = "actors and functions get no signals; for what is to happen later set an alarm"
_NO_INPUT: Final = "actors and functions have no terminal to read from; take what is needed as an argument of a method"
_NO_SLEEP: Final = (
    "an actor's turn cannot sleep, it would hold up every other call of the instance; set an alarm"
    " (self.ctx.storage.set_alarm) and do the rest in alarm()"
)

Refusal = Callable[[str], Exception]


class _NoFileError(FileNotFoundError):
    """A FileNotFoundError whose text is the sentence alone, and whose attributes are the usual ones."""

    def __str__(self) -> str:
        return str(self.args[0])


_NoFileError.__name__ = _NoFileError.__qualname__ = "FileNotFoundError"  # what it is to its reader
_NoFileError.__module__ = "builtins"


def no_network(what: str) -> PermissionError:
    """There is no network."""
    failure = PermissionError(f"{what}: {_NO_NETWORK}")
    failure.errno = errno.EACCES
    return failure


def no_threads(what: str) -> RuntimeError:
    """There are no threads."""
    return RuntimeError(f"{what}: {_NO_THREADS}")


def no_waker(what: str) -> RuntimeError:
    """There is nobody who could end a wait."""
    return RuntimeError(f"{what}: {_NO_WAKER}")


def no_files(what: str, path: object = None) -> FileNotFoundError:
    """There are no files."""
    failure = _NoFileError(f"{what}: {_NO_FILES}")
    failure.errno = errno.ENOENT
    failure.strerror = _NO_FILES
    failure.filename = path
    return failure


def no_processes(what: str) -> PermissionError:
    """There are no processes."""
    failure = PermissionError(f"{what}: {_NO_PROCESSES}")
    failure.errno = errno.EACCES
    return failure


def no_signals(what: str) -> RuntimeError:
    """There are no signals."""
    return RuntimeError(f"{what}: {_NO_SIGNALS}")


def no_input(what: str) -> EOFError:
    """There is nobody who types."""
    return EOFError(f"{what}: {_NO_INPUT}")


class NoInput(io.TextIOBase):
    """What `sys.stdin` is where actors run."""

    name = "<stdin>"
    encoding = "utf-8"

    def readable(self) -> bool:
        """It is a stream to read from, from which nobody can."""
        return True

    def read(self, _size: int | None = -1, /) -> str:
        """Refuse."""
        raise no_input("sys.stdin.read()")

    def readline(self, _size: int = -1, /) -> str:  # type: ignore[override]
        """Refuse; `for line in sys.stdin` comes here too."""
        raise no_input("sys.stdin.readline()")


def no_loop() -> RuntimeError:
    """No event loop runs around a plain method."""
    return RuntimeError(
        "no running event loop: one runs around a method that is written as async def, and within asyncio.run(...)"
    )


def no_sleep(what: str) -> RuntimeError:
    """A turn does not wait."""
    return RuntimeError(f"{what}: {_NO_SLEEP}")


def refusing(refusal: Refusal, what: str) -> Callable[..., NoReturn]:
    """A function that refuses, whatever it is given."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise refusal(what)

    return refuse


# What a name of `socket` is called with tells more than the name; of the others the first argument does.
_NETWORK: Final = {
    "socket.__new__": "socket.socket()",
    "socket.bind": "socket.bind",
    "socket.connect": "socket.connect",
    "socket.getaddrinfo": "",
    "socket.gethostbyaddr": "",
    "socket.gethostbyname": "",
    "socket.getnameinfo": "socket.getnameinfo",
    "socket.sendmsg": "socket.sendmsg",
    "socket.sendto": "socket.sendto",
    "socket.sethostname": "",
}
_PROCESSES: Final = {
    "os.exec": "",
    "os.fork": "os.fork()",
    "os.forkpty": "os.forkpty()",
    "os.kill": "os.kill",
    "os.killpg": "os.killpg",
    "os.posix_spawn": "",
    "os.spawn": "os.spawn",
    "os.system": "",
    "pty.spawn": "",
    "subprocess.Popen": "",
}
_SIGNALS: Final = {"signal.pthread_kill": "signal.pthread_kill"}
_INPUT: Final = {"builtins.input": "input()"}
# Those that only look come first: what belongs to a component may be read there.
_READS: Final = frozenset(
    {"glob.glob", "os.fwalk", "os.listdir", "os.scandir", "os.walk", "pathlib.Path.glob", "pathlib.Path.rglob"}
)
_WRITES: Final = frozenset(
    {
        "os.chdir", "os.chflags", "os.chmod", "os.chown", "os.link", "os.lockf", "os.mkdir", "os.remove",
        "os.removexattr", "os.rename", "os.rmdir", "os.setxattr", "os.symlink", "os.truncate", "os.utime",
        "shutil.chown", "shutil.copyfile", "shutil.copymode", "shutil.copystat", "shutil.copytree",
        "shutil.make_archive", "shutil.move", "shutil.rmtree", "shutil.unpack_archive", "tempfile.mkdtemp",
        "tempfile.mkstemp",
    }
)  # fmt: skip
FILES: Final = frozenset({"open", "sqlite3.connect"}) | _READS | _WRITES
_OTHERS: Final = (
    (_NETWORK, no_network),
    (_PROCESSES, no_processes),
    (_SIGNALS, no_signals),
    (_INPUT, no_input),
)
_REFUSALS: Final[dict[str, tuple[str, Refusal]]] = {
    event: (shown, refusal) for events, refusal in _OTHERS for event, shown in events.items()
}
EVENTS: Final = FILES | _REFUSALS.keys()


def refusal_of(event: str, arguments: tuple[Any, ...], may_read: Callable[[Any], bool]) -> Exception | None:
    """What to raise for an audit event of EVENTS; None where it does no harm.

    Args:
        event: Its name, as Python's table of audit events has it.
        arguments: What came with it.
        may_read: Whether a path (a str, bytes, or a descriptor) may be read.
    """
    if event in FILES:
        return _file_refusal(event, arguments, may_read)
    shown, refusal = _REFUSALS[event]
    return refusal(shown or f"{event}({_shown(arguments[0] if arguments else '')})")


def _file_refusal(event: str, arguments: tuple[Any, ...], may_read: Callable[[Any], bool]) -> Exception | None:
    path = arguments[0] if arguments else None
    if event == "open":
        if isinstance(path, int) or (_only_reads(arguments[1:]) and may_read(path)):
            return None
    elif event == "sqlite3.connect":
        if _is_in_memory(path):
            return None
    elif event in _READS and may_read("." if path is None else path):
        return None
    return no_files(f"{event}({_shown(path)})", path)


def _only_reads(mode_and_flags: tuple[Any, ...]) -> bool:
    mode, flags = (*mode_and_flags, None, None)[:2]
    if isinstance(mode, str):
        return not set("wax+") & set(mode)
    return isinstance(flags, int) and flags & 0b11 == 0  # O_RDONLY, on every POSIX system


def _is_in_memory(database: Any) -> bool:
    if isinstance(database, bytes):
        database = database.decode("utf-8", "replace")
    return isinstance(database, str) and (
        database in ("", ":memory:")
        or (database.startswith("file:") and (":memory:" in database or "mode=memory" in database))
    )


def _shown(argument: object) -> str:
    return f"{argument!r:.100}"
