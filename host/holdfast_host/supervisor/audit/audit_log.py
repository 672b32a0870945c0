"""The audit log on disk: JSON lines, numbered without gaps, in files of which the oldest goes for the newest.

A file's name is the number of its first line. What `append` returns for is on disk, and whatever a death leaves of a
line that was not is cut off at the next start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from holdfast_host.core.durable_files import append_durably, cut_durably
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.json_text import JsonObject

FILES: Final = 8  # that share the bytes
_PLACES_MAX: Final = 64  # readers that go on where they were


class AuditLog:
    """Opened by the supervisor under the directory's lock. One writer at a time; readers may read beside it."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Use `open`."""
        self._folder = folder
        self._bytes_max = bytes_max
        self.last = 0  # the number of the newest line that is on disk
        # Where the line after a number begins, for those who have read up to there: the next page begins there.
        self._places: dict[int, tuple[str, int]] = {}

    @classmethod
    def open(cls, folder: Path, bytes_max: int) -> AuditLog:
        """Find the newest line; the folder is made if it is not.

        Raises:
            ConfigurationError: it cannot be read or mended.
        """
        log = cls(folder, bytes_max)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            files = log._files()
            if files:
                text = files[-1].read_bytes()
                whole = text.rfind(b"\n") + 1
                if whole < len(text):
                    cut_durably(files[-1], whole)
                log.last = int(files[-1].stem) - 1 + text.count(b"\n", 0, whole)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the audit log {folder} cannot be read ({error}): move it away") from None
        return log

    def append(self, facts: Sequence[JsonObject]) -> int:
        """Add lines, numbered on from `last`; the number of the first. Durable on return.

        Raises:
            OSError: none was added.
        """
        numbered = [{"number": self.last + 1 + place, **each} for place, each in enumerate(facts)]
        text = b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in numbered)
        append_durably(self._place(len(text)), text)
        self.last += len(facts)
        return self.last - len(facts) + 1

    def read(self, after: int, limit: int) -> list[JsonObject]:
        """Lines with larger numbers, so many at most, in their order; what was rotated away is not among them."""
        last = self.last
        found: list[JsonObject] = []
        if after >= last:
            return found  # whoever follows asks twice a second: no file is read for that
        for facts, place in self._lines(after):
            if facts["number"] > last:
                break
            found.append(facts)
            if len(found) == limit:
                self._remember(facts["number"], place)
                break
        return found

    def _lines(self, after: int) -> Iterator[tuple[JsonObject, tuple[str, int]]]:
        """Each line, and where the next one begins."""
        files = self._files()
        known = self._places.get(after)
        for place, path in enumerate(files):
            if place + 1 < len(files) and int(files[place + 1].stem) <= after + 1:
                continue
            offset, number = (known[1], after) if known is not None and known[0] == path.name else (0, 0)
            number = number or int(path.stem) - 1
            try:
                with path.open("rb") as file:
                    file.seek(offset)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break  # it is being written
                        number, offset = number + 1, offset + len(line)
                        if number > after:
                            yield read_line(line, number), (path.name, offset)
            except FileNotFoundError:
                continue  # it was the oldest

    def _remember(self, number: int, place: tuple[str, int]) -> None:
        places = {**self._places, number: place}
        while len(places) > _PLACES_MAX:
            places.pop(next(iter(places)))
        self._places = places

    def _place(self, text_bytes: int) -> Path:
        """The file that the next lines go to; makes room for it where it is a new one."""
        files = self._files()
        share = self._bytes_max // FILES
        if files and files[-1].stat().st_size + text_bytes <= share:
            return files[-1]
        for path in files[: len(files) - (FILES - 1)] if len(files) >= FILES else []:
            path.unlink()
        return self._folder / f"{self.last + 1:012d}.ndjson"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.ndjson"))


def read_line(line: bytes, number: int) -> JsonObject:
    """One line; of one that somebody has damaged, its number and that."""
    try:
        facts = json.loads(line)
        if isinstance(facts, dict) and facts.get("number") == number:
            return facts
    except ValueError:
        pass
    return {"number": number, "at": "", "event": "damaged"}
