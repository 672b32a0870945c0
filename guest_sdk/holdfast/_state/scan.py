"""What `list` and `scan` go over, and how a scan keeps up with what is written while it goes on.

A scan reads a page ahead of its loop. While one goes on, the storage writes through `WatchedStorage`, which notes what
changes; the scan applies that to what it has read and not yet shown. Where no scan goes on, nothing is in between.
"""

from __future__ import annotations

from typing import Any, Final

from holdfast._host_imports import StorageImport
from holdfast._values.codec import decode

NOTED_MAX: Final = 128  # changes that are applied one by one; past that the scan reads again

Change = tuple[str, str | None]  # a key, and its text; None where it was deleted
Changes = list[Change | None]  # None: anything may have changed
Entry = tuple[str, Any]
Entries = list[Entry]


class Bounds:
    """The filters of one listing, checked; `go_on_after` moves them past what has been read."""

    __slots__ = ("end", "prefix", "reverse", "start", "start_after")

    def __init__(
        self, prefix: str | None, start: str | None, start_after: str | None, end: str | None, reverse: bool
    ) -> None:
        if start is not None and start_after is not None:
            raise ValueError("a list begins at start or at start_after, not both")
        self.prefix = _bound("prefix", prefix) or ""
        self.start = _bound("start", start)
        self.start_after = _bound("start_after", start_after)
        self.end = _bound("end", end)
        self.reverse = bool(reverse)

    def go_on_after(self, key: str) -> None:
        """Leave out what was shown, up to this key."""
        if self.reverse:
            self.end = key
        else:
            self.start, self.start_after = None, key

    def holds(self, key: str) -> bool:
        """Whether the key lies within. Texts compare as their UTF-8 does."""
        return (
            key.startswith(self.prefix)
            and (self.start is None or key >= self.start)
            and (self.start_after is None or key > self.start_after)
            and (self.end is None or key < self.end)
        )


class WatchedStorage:
    """A storage import that notes for each of `watchers` what is written."""

    def __init__(self, host: StorageImport) -> None:
        self.host = host
        self.watchers: list[Changes] = []
        self.get, self.get_many, self.list = host.get, host.get_many, host.list
        self.open_savepoint, self.release_savepoint = host.open_savepoint, host.release_savepoint
        self.sync = host.sync

    def put(self, key: str, value: str) -> None:
        self.host.put(key, value)
        self._note((key, value))

    def delete(self, key: str) -> bool:
        was_there = self.host.delete(key)
        self._note((key, None))
        return was_there

    def delete_all(self) -> None:
        self.host.delete_all()
        self._note(None)

    def rollback_savepoint(self, savepoint: int) -> None:
        self.host.rollback_savepoint(savepoint)
        self._note(None)

    def _note(self, change: Change | None) -> None:
        for noted in self.watchers:
            noted.append(change)
            if len(noted) > NOTED_MAX:
                noted[:] = [None]


class Page:
    """A page of a scan: `entries` in its order, kept up behind the one that was shown last.

    `is_last` says that it reaches to the end of the bounds.
    """

    __slots__ = ("_bounds", "_edge", "entries", "is_last")

    def __init__(self, bounds: Bounds, entries: Entries, *, is_last: bool) -> None:
        self._bounds = bounds
        self._edge = entries[-1][0] if entries else ""
        self.entries = entries
        self.is_last = is_last

    def follow(self, changes: Changes, shown: int) -> None:
        """Apply what was written since: to what lies behind the entry of that index, and within the page."""
        self._bounds.go_on_after(self.entries[shown][0])
        for change in changes:
            if change is None:
                del self.entries[shown + 1 :]
                self.is_last = False
                break
            self._apply(*change, shown + 1)
        changes.clear()

    def _apply(self, key: str, text: str | None, first: int) -> None:
        if not self._bounds.holds(key) or not (self.is_last or self._is_before(key, self._edge) or key == self._edge):
            return  # it is not shown, or by a later page
        entries = self.entries
        at = self._place(key, first)
        found = at < len(entries) and entries[at][0] == key
        if text is None:
            del entries[at : at + found]
        else:
            entries[at : at + found] = [(key, decode(text, f"value of {key!r:.80}"))]

    def _place(self, key: str, first: int) -> int:
        """Where the key stands, or would: by halving."""
        last = len(self.entries)
        while first < last:
            middle = (first + last) // 2
            if self._is_before(self.entries[middle][0], key):
                first = middle + 1
            else:
                last = middle
        return first

    def _is_before(self, key: str, other: str) -> bool:
        return key > other if self._bounds.reverse else key < other


def _bound(what: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    return well_formed(what, value)


def well_formed(what: str, text: str) -> str:
    """The text itself; ValueError where it has a lone surrogate."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} must be valid Unicode, {text!r:.80} has a lone surrogate") from None
    return text
