"""`ctx.storage`: the durable state of one instance, and its alarm.

Everything written in a turn commits in one transaction when the turn returns; reads see the turn's own writes at once.
Limits are the host's and come back as LimitError; what is checked here is what the host could not name as well.

Small values that were read or written are held, so that `get` need not ask the host for them again. Nobody else writes
to the instance's storage while its activation lives: the host drops the activation after every change from outside, and
after every turn that failed when it had written. What remains is what this turn undoes itself: a `transaction()` block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast._errors import HostError, LimitError
from holdfast._host_imports import AlarmsImport, Err, StorageImport, raise_refusal
from holdfast._state.alarms import instant_of, microseconds_of
from holdfast._state.scan import Bounds, Changes, Entries, Entry, Page, WatchedStorage, well_formed
from holdfast._state.transactions import Blocks, Transaction
from holdfast._values.codec import LEAVES, decode, decode_json, decode_pairs, encode, encode_json

RESERVED_PREFIX: Final = "__holdfast_"
LIST_LIMIT_MAX: Final = 1000
FIRST_PAGE: Final = 128
HELD_KEYS_MAX: Final = 128
HELD_CHARS_MAX: Final = 1024  # of a value's text
HELD_NOTHING: Final = -1
_UNKNOWN: Final = object()


class Storage:
    """The storage of one instance. Lives as long as its activation; get it as `self.ctx.storage`.

    Keys are text of 1 to 480 bytes in UTF-8. Values are JSON natives plus `bytes`, `datetime`, `date`, `time`,
    `timedelta`, `Decimal`, `UUID`, `set`, `frozenset`, `tuple`, integers of any size, `nan` and infinities, and dicts
    with keys of any of those types; they come back as what was stored, as a fresh copy. A value of a subclass of `str`,
    `int` or `float` comes back as the plain one.
    """

    __slots__ = ("_alarms", "_blocks", "_held", "_held_chars_max", "_host")

    def __init__(
        self,
        host: StorageImport,
        alarms: AlarmsImport,
        *,
        held_chars_max: int = HELD_CHARS_MAX,
        at_turn_end: Callable[[Callable[[], None]], None] = lambda run: None,
    ) -> None:
        """`at_turn_end` has something run once when the turn is over that runs now."""
        self._host = host
        self._alarms = alarms
        self._held_chars_max = held_chars_max
        # By key: a value that cannot change as it is, any other as a tuple of its text, () for a key that is absent.
        self._held: dict[str, Any] = {}
        self._blocks = Blocks(self._held.clear, at_turn_end)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` where the key is absent."""
        if type(key) is str:
            held = self._held.get(key, _UNKNOWN)
            if type(held) in LEAVES:
                return held
            if type(held) is tuple:
                return decode(held[0]) if held else default
        try:
            key = check_key(key)
            text = self._host.get(key)
        except Err as error:
            raise_refusal(error)
        value = decode(text) if text else default
        self._hold(key, text, value)
        return value

    def _hold(self, key: str, text: str, value: Any) -> None:
        """Keep what the host has for a key; an empty text says that it has nothing."""
        if len(text) > self._held_chars_max:
            self._held.pop(key, None)
            return
        if len(self._held) >= HELD_KEYS_MAX:
            self._held.clear()
        if not text:
            self._held[key] = ()
        else:
            self._held[key] = value if type(value) in LEAVES else (text,)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that exist, in the order asked for.

        Raises:
            LimitError: Together they are larger than a page of 8 MiB; the message names the key to go on from.
        """
        asked = [check_key(key) for key in _strings("keys", keys)]
        if not asked:
            return {}
        try:
            text = self._host.get_many(encode_json(asked))
        except Err as error:
            raise_refusal(error)
        return dict(decode_pairs(text, decode_json(text)))

    def put(self, key: str, value: Any) -> None:
        """Write one value.

        Raises:
            CodecError: The value, or a part of it, cannot be stored; the message names the path to it.
            LimitError: The key, the value (1 MiB encoded) or the turn's writes are too large.
        """
        try:
            # The usual key, proven in a few steps; any other one is looked at more closely.
            if type(key) is not str or not key.isascii() or key[:1] == "_":
                key = check_key(key)
            text = encode(value)
            self._host.put(key, text)
        except Err as error:
            raise_refusal(error)
        self._hold(key, text, value)

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Write several values. If one cannot be stored, none of them is written."""
        if not isinstance(values, Mapping):
            raise TypeError(f"put_many takes a mapping of keys to values, not {type(values).__name__}")
        texts = [(check_key(key), encode(value, f"value of {key!r:.80}")) for key, value in values.items()]
        with self.transaction():
            try:
                for key, text in texts:
                    self._host.put(key, text)
                    self._held.pop(key, None)
            except Err as error:
                raise_refusal(error)

    def delete(self, key: str) -> bool:
        """Delete one key; whether it was there."""
        key = check_key(key)
        try:
            was_there = self._host.delete(key)
        except Err as error:
            raise_refusal(error)
        self._hold(key, "", None)
        return was_there

    def delete_all(self, *, keep_alarm: bool = False) -> None:
        """Delete every key, and clear the alarm, which would run over nothing.

        Args:
            keep_alarm: Delete the keys alone.
        """
        self._held.clear()
        try:
            self._host.delete_all()
        except Err as error:
            raise_refusal(error)
        if not keep_alarm:
            try:
                self.delete_alarm()
            except HostError as error:
                if error.name != "UnsupportedError":  # a host without alarms has none to clear
                    raise

    def list(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int = 128,
    ) -> dict[str, Any]:
        """Keys and values in the order of the keys' UTF-8 bytes.

        Args:
            prefix: Only keys that begin with it.
            start: The first key, inclusive. At most one of `start` and `start_after` may be given.
            start_after: The first key, exclusive.
            end: The last key, exclusive.
            reverse: From the last to the first; the bounds keep their meaning.
            limit: At most that many, 1 to 1000. For more, use `scan`.

        Raises:
            LimitError: They are larger than a page of 8 MiB; the message names the key to go on from.
        """
        if type(limit) is not int or not 1 <= limit <= LIST_LIMIT_MAX:
            raise ValueError(f"the limit of a list is 1 to {LIST_LIMIT_MAX}, not {limit!r}: use scan() for more")
        bounds = Bounds(prefix, start, start_after, end, reverse)
        entries, go_on_from = self._page(bounds, limit)
        if go_on_from is not None:
            raise LimitError(
                f"the list is larger than one page may be, it ended before the key {go_on_from!r}:"
                " go on from there, ask for fewer, or use scan()"
            )
        return dict(entries)

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[str, Any]]:
        """All keys and values, page by page: the filters of `list`, without a limit.

        It may go on while keys are written: what lies ahead is seen as it then is, what lies behind is not seen again.

        Example:
            total = sum(entry["cents"] for _, entry in self.ctx.storage.scan(prefix="entry/"))
        """
        return self._scan(Bounds(prefix, start, start_after, end, reverse))

    def _scan(self, bounds: Bounds) -> Iterator[Entry]:
        changes = self._watch()
        try:
            limit = FIRST_PAGE
            while True:
                entries, go_on_from = self._page(bounds, limit)
                page = Page(bounds, entries, is_last=go_on_from is None and len(entries) < limit)
                changes.clear()
                shown = -1
                for shown, entry in enumerate(entries):
                    yield entry
                    if changes:
                        page.follow(changes, shown)  # changes what the loop has still before it
                if shown < 0 or page.is_last:
                    return
                bounds.go_on_after(entries[shown][0])
                limit = LIST_LIMIT_MAX
        finally:
            self._unwatch(changes)

    def _watch(self) -> Changes:
        """What is written from now on, as it comes."""
        if not isinstance(self._host, WatchedStorage):
            self._host = WatchedStorage(self._host)
        changes: Changes = []
        self._host.watchers.append(changes)
        return changes

    def _unwatch(self, changes: Changes) -> None:
        host = self._host
        if isinstance(host, WatchedStorage):
            host.watchers[:] = [each for each in host.watchers if each is not changes]
            if not host.watchers:
                self._host = host.host

    def _page(self, bounds: Bounds, limit: int) -> tuple[Entries, str | None]:
        try:
            text = self._host.list(bounds.prefix, bounds.start, bounds.start_after, bounds.end, bounds.reverse, limit)
        except Err as error:
            raise_refusal(error)
        page = decode_json(text)
        return decode_pairs(text, page["entries"]), page.get("next")

    def transaction(self) -> Transaction:
        """A part of the turn that can be undone: an exception discards what the block wrote, and propagates.

        Blocks nest. Nothing is durable at the end of a block: the turn commits as a whole when it returns.

        Example:
            with self.ctx.storage.transaction():
                self.ctx.storage.put("a", 1)
                self.ctx.storage.put("b", 2)
        """
        return Transaction(self._blocks, lambda: self._host)

    def _release_blocks(self) -> None:
        """The constructor is over, and its turn goes on: blocks that it left open end as at a turn's end."""
        self._blocks.release()

    def sync(self) -> None:
        """Make what this turn has written so far durable now, and return when it is.

        What was written before it stays even if the turn fails later.

        Raises:
            RuntimeError: Inside a `transaction()` block.
            HostError: It could not be made durable; this turn cannot commit anything any more.
        """
        if self._blocks.open:
            raise RuntimeError("sync() inside a transaction() block: what the block wrote can still be undone")
        try:
            self._host.sync()
        except Err as error:
            raise_refusal(error)

    def set_alarm(self, when: datetime | timedelta | float) -> None:
        """Set the instance's one alarm: `alarm(info)` runs then. It replaces an alarm that is set already.

        Args:
            when: A datetime with a time zone, a timedelta from now, or a Unix time in seconds. The past is due at once.

        Raises:
            ValueError: A datetime without a time zone, a year past 9999; a number above 1e11, which is milliseconds by
                mistake, or below 1e9, which is seconds from now by mistake.
            RuntimeError: The class has no `alarm(self, info)` that could run then.
            HostError: Named `UnsupportedError` by a host that has no alarms.
        """
        due_us = microseconds_of(when)
        try:
            self._alarms.set(due_us)
        except Err as error:
            raise_refusal(error)

    def get_alarm(self) -> datetime | None:
        """When the alarm is due, in UTC; None where none is set, also inside its own handler."""
        try:
            due_us = self._alarms.get()
        except Err as error:
            raise_refusal(error)
        return None if due_us < 0 else instant_of(due_us)

    def delete_alarm(self) -> None:
        """Clear the alarm, if one is set."""
        try:
            self._alarms.delete()
        except Err as error:
            raise_refusal(error)

    def __repr__(self) -> str:
        return "<holdfast storage>"


def check_key(key: str) -> str:
    """The key itself; TypeError or ValueError where it is none. Its length is for the host to judge."""
    if not isinstance(key, str):
        raise TypeError(f"a storage key is a str, not {type(key).__name__}")
    key = well_formed("a storage key", str.__str__(key))
    if key.startswith(RESERVED_PREFIX):
        raise ValueError(f"keys that begin with {RESERVED_PREFIX!r} are reserved: {key!r:.80}")
    return key


def _strings(what: str, values: Iterable[str]) -> Iterable[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is several keys, not one {type(values).__name__}")
    return values
