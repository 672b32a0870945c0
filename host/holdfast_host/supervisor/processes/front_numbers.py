"""The numbers of front processes: each start of one has its own, and none is ever given twice.

A socket's number begins with its front's. What is stored of a socket outlives the front that held it, so a number that
came again would make a stranger of another's connection. It is on disk before the process starts.
"""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import Final

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import ConfigurationError

NUMBER_MAX: Final = (1 << 32) - 1  # it is half of a socket's number


class FrontNumbers:
    """The next number of one data directory. One per host, which holds the directory's lock; `take` is any thread's."""

    def __init__(self, path: Path, next_number: int) -> None:
        self._path = path
        self._next = next_number
        self._taking = Lock()  # fronts start at the same time
        self.live: list[int] = []  # of those that run, or are about to

    @classmethod
    def open(cls, path: Path) -> FrontNumbers:
        """Read the file; in a directory that has none, no front has had a number yet.

        Raises:
            ConfigurationError: it is damaged, so that nobody knows which numbers are taken.
        """
        try:
            following = json.loads(path.read_bytes())["next"]
        except FileNotFoundError:
            return cls(path, 1)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigurationError(f"cannot read {path}: {error}; restore it from a backup") from error
        if type(following) is not int or not 1 <= following <= NUMBER_MAX:
            raise ConfigurationError(f"{path} says that {following!r:.40} is the next front's number: restore the file")
        return cls(path, following)

    def take(self) -> int:
        """The number of a front that starts now; it is taken on disk.

        Raises:
            OSError: it cannot be written down.
        """
        with self._taking:
            number = self._next
            write_durably(self._path, json.dumps({"next": number + 1}).encode())
            self._next = number + 1
            self.live.append(number)
            return number

    def forget(self, number: int) -> None:
        """That front has ended, and was waited for."""
        self.live.remove(number)
