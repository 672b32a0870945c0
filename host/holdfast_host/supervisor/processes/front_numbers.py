"""The numbers of front processes: each start of one has its own, and none is ever given twice.

A socket's number begins with its front's. What is stored of a socket outlives the front that held it, so a number that
came again would make a stranger of another's connection. It is on disk before the process starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import ConfigurationError

NUMBER_MAX: Final = (1 << 32) - 1  # it is half of a socket's number


class FrontNumbers:
    """Those of one host; `take` is any thread's."""

    def __init__(self, next_number: Callable[[], int]) -> None:
        """`next_number()` gives one that was never given, or raises OSError."""
        self._next_number = next_number
        self._taking = Lock()  # fronts start at the same time
        self.live: list[int] = []  # of those that run, or are about to

    @classmethod
    def open(cls, path: Path) -> FrontNumbers:
        """Those of a data directory, whose lock is held; in one without that file, no front has had a number yet.

        Raises:
            ConfigurationError: it is damaged, so that nobody knows which numbers are taken.
        """
        return cls(_Counter(path, read_next(path)).take)

    def take(self) -> int:
        """The number of a front that starts now; nobody gets it again.

        Raises:
            OSError: it cannot be written down.
        """
        with self._taking:
            number = self._next_number()
            self.live.append(number)
            return number

    def forget(self, number: int) -> None:
        """That front has ended, and was waited for."""
        self.live.remove(number)


class _Counter:
    """In a file."""

    def __init__(self, path: Path, following: int) -> None:
        self._path = path
        self._next = following

    def take(self) -> int:
        number = self._next
        write_durably(self._path, json.dumps({"next": number + 1}).encode())
        self._next = number + 1
        return number


def read_next(path: Path) -> int:
    """The number that the next front of a data directory gets.

    Raises:
        ConfigurationError: the file is damaged.
    """
    try:
        following = json.loads(path.read_bytes())["next"]
    except FileNotFoundError:
        return 1
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}; restore it from a backup") from error
    if type(following) is not int or not 1 <= following <= NUMBER_MAX:
        raise ConfigurationError(f"{path} says that {following!r:.40} is the next front's number: restore the file")
    return following
