"""An export as it comes from a host: lines that are passed on as they are, and whether that was all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from holdfast_host.cli import answers
from holdfast_host.cli.output import CommandFailedError

if TYPE_CHECKING:
    from holdfast_host.cli.client import HostClient

_LINE: Final = b'{"'
_END: Final = b'{"end":'
_ERROR: Final = b'{"error":'
_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")


class ExportedLines:
    """The lines of one export, to be gone over once; `end` is what the last one counts, once they are."""

    def __init__(self, client: HostClient, path: str) -> None:
        self._client = client
        self._path = path
        self.end: answers.ExportCounts = {"keys": 0, "bytes": 0}

    def __iter__(self) -> Iterator[bytes]:
        """Each line, the end among them.

        Raises:
            CommandFailedError: the export broke off.
        """
        line = b""
        for line in self._client.raw_lines(self._path):  # the last one is looked at
            if line.startswith(_ERROR):
                error = self._client.fitting(self._path, line, answers.RefusedAnswer)["error"]
                raise CommandFailedError(f"The export broke off: {error['name']}: {error['message']}")
            if not line.startswith(_LINE):
                break
            yield line
        if not line.startswith(_END):
            raise self._client.strange(self._path, "expected the end as its last line: it broke off, or is no export")
        self.end = self._client.fitting(self._path, line, answers.ExportEnd)["end"]

    def rows(self) -> Iterator[bytes]:
        """Each line but the end."""
        return (line for line in self if not line.startswith(_END))


def ascii_json(line: bytes) -> str:
    """The same JSON, in ASCII, so that every terminal and every program passes it."""
    text = line.replace(b"\t", b" ").decode("utf-8", "replace")  # JSON has tabs between its parts alone
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)
