"""One turn's view: what it reads, what it refuses, what it hands over."""

from __future__ import annotations

import pytest

from holdfast_host.core.errors import BadRequestError, CodecError, HoldfastError, LimitError, StorageFullError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.capabilities import StorageCalls
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Batch, StoredInstance
from holdfast_host.storage.unflushed import Pending
from tests.harness.memory_store import MemoryStore

LIMITS = Limits()
LABEL = "Account/alice"


class Instance:
    """An instance in a store of its own, and its turns."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.store = MemoryStore(limits=limits)
        self.pending = Pending()
        self.stored: StoredInstance = self.store.locate(1, b"alice")
        self.group = 1

    def turn(self) -> Overlay:
        return Overlay(self.store, self.stored, self.pending, self.limits, LABEL)

    def commit(self, overlay: Overlay) -> None:
        self.group += 1
        self.store.commit(self.group, [Batch(self.stored, overlay.take())])

    def stores(self, **values: bytes) -> None:
        overlay = self.turn()
        for key, value in values.items():
            overlay.put(key.encode(), value)
        self.commit(overlay)


def keys_of(
    overlay: Overlay, bounds: dict[str, bytes] | None = None, *, reverse: bool = False, limit: int = 1000
) -> list[bytes]:
    bounds = bounds or {}
    pairs, _ = overlay.list(
        bounds.get("prefix", b""),
        bounds.get("start"),
        bounds.get("start_after"),
        bounds.get("end"),
        reverse,
        limit,
    )
    return [key for key, _ in pairs]


def test_a_turn_reads_its_own_writes_before_those_of_earlier_turns_and_of_the_store() -> None:
    instance = Instance()
    instance.stores(a=b"stored", b=b"stored", c=b"stored")
    earlier = instance.turn()
    earlier.put(b"b", b"pending")
    earlier.put(b"c", b"pending")
    instance.pending.add(earlier.take(), 7)
    turn = instance.turn()
    turn.put(b"c", b"own")

    assert [turn.get(key) for key in (b"a", b"b", b"c", b"d")] == [b"stored", b"pending", b"own", None]
    assert turn.get_many([b"c", b"d", b"a", b"c"]) == [(b"c", b"own"), (b"a", b"stored"), (b"c", b"own")]


def test_an_overlay_is_what_a_sandbox_calls_storage() -> None:
    calls: StorageCalls = Instance().turn()

    calls.put(b"k", b"v")

    assert calls.get(b"k") == b"v"


def test_delete_says_whether_the_key_was_there_and_writes_nothing_where_it_was_not() -> None:
    instance = Instance()
    instance.stores(a=b"1")
    turn = instance.turn()

    assert turn.delete(b"nothing") is False
    assert not turn.wrote
    assert not turn.take()
    assert turn.delete(b"a") is True
    assert turn.delete(b"a") is False
    assert turn.get(b"a") is None


def test_delete_all_hides_everything_but_the_alarm_and_what_is_written_later() -> None:
    instance = Instance()
    instance.stores(a=b"1", b=b"2")
    turn = instance.turn()
    turn.put(b"c", b"3")
    turn.set_alarm(55)

    turn.delete_all()
    turn.put(b"b", b"4")

    assert keys_of(turn) == [b"b"]
    assert turn.get(b"a") is None
    assert turn.get_alarm() == 55
    changes = turn.take()
    assert (changes.cleared, changes.writes, changes.size_bytes) == (True, {b"b": b"4"}, 2)


def test_lists_are_in_the_order_of_utf8_bytes_both_ways() -> None:
    instance = Instance()
    instance.stores(**dict.fromkeys(("a", "ab", "b", "é", "名", "😀", "z"), b"x"))
    turn = instance.turn()
    turn.delete(b"b")
    turn.put("ê".encode(), b"new")
    turn.put(b"A", b"new")

    expected = [key.encode() for key in ("A", "a", "ab", "z", "é", "ê", "名", "\U0001f600")]
    assert keys_of(turn) == expected
    assert keys_of(turn, reverse=True) == expected[::-1]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"prefix": b"b"}, [b"b", b"b1", b"b2"]),
        ({"start": b"b"}, [b"b", b"b1", b"b2", b"c"]),
        ({"start_after": b"b"}, [b"b1", b"b2", b"c"]),
        ({"end": b"b1"}, [b"a", b"b"]),
        ({"prefix": b"b", "start_after": b"b", "end": b"b2"}, [b"b1"]),
        ({"prefix": b"b", "start": b"a", "end": b"z"}, [b"b", b"b1", b"b2"]),
        ({"start": b"b1", "end": b"b1"}, []),
        ({"start": b"c", "end": b"a"}, []),
        ({"start": b"b" * 5000}, [b"c"]),
        ({"end": b"b" * 5000}, [b"a", b"b", b"b1", b"b2"]),
        ({"prefix": b"b" * 5000}, []),
    ],
)
def test_start_is_inclusive_and_start_after_and_end_are_exclusive(
    bounds: dict[str, bytes], expected: list[bytes]
) -> None:
    instance = Instance()
    instance.stores(a=b"x", b=b"x", b1=b"x", c=b"x")
    turn = instance.turn()
    turn.put(b"b2", b"x")

    assert keys_of(turn, bounds) == expected
    assert keys_of(turn, bounds, reverse=True) == expected[::-1]


def test_a_list_stops_at_its_limit_and_goes_past_what_the_turn_deleted() -> None:
    instance = Instance()
    instance.stores(**{f"k{n}": b"x" for n in range(9)})
    turn = instance.turn()
    for n in range(5):
        turn.delete(b"k%d" % n)

    assert keys_of(turn, limit=3) == [b"k5", b"k6", b"k7"]
    for limit in (0, 1001):
        with pytest.raises(
            BadRequestError, match=rf"list of {limit} entries: 1 to 1000 entries are allowed \(Account/alice\)"
        ):
            keys_of(turn, limit=limit)
    with pytest.raises(BadRequestError, match=r"start or at start_after, not both \(Account/alice\)"):
        turn.list(b"", b"k1", b"k2", None, False, 10)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_that_its_bytes_end_names_the_first_key_that_was_left_out(reverse: bool) -> None:
    instance = Instance(Limits(page_bytes_max=100))
    instance.stores(a=bytes(40), b=bytes(40))
    turn = instance.turn()
    turn.put(b"c", bytes(40))
    turn.put(b"d", bytes(99))
    turn.put(b"e", bytes(100))

    pages = []
    start_after: bytes | None = None
    end: bytes | None = None
    following: bytes | None = b""
    while following is not None:
        pairs, following = turn.list(b"", None, start_after, end, reverse, 1000)
        pages.append(([key for key, _ in pairs], following))
        start_after, end = (start_after, pairs[-1][0]) if reverse else (pairs[-1][0], end)

    if reverse:
        assert pages == [([b"e"], b"d"), ([b"d"], b"c"), ([b"c", b"b"], b"a"), ([b"a"], None)]
    else:
        assert pages == [([b"a", b"b"], b"c"), ([b"c"], b"d"), ([b"d"], b"e"), ([b"e"], None)]


def test_get_many_past_a_page_names_the_key_to_go_on_from() -> None:
    instance = Instance(Limits(page_bytes_max=100, turn_write_keys_max=3))
    instance.stores(a=bytes(40), b=bytes(40), c=bytes(40))
    turn = instance.turn()

    with pytest.raises(LimitError, match=r"limit of 100 bytes a page at key 'c': ask for it .*\(Account/alice\)"):
        turn.get_many([b"a", b"b", b"c"])
    with pytest.raises(LimitError, match="get_many of 4 keys exceeds the limit of 3 keys"):
        turn.get_many([b"a"] * 4)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (b"", LimitError, r"an empty key: a key has 1 to 480 bytes \(Account/alice\)"),
        (b"k" * 481, LimitError, r"key of 481 bytes exceeds the limit of 480 bytes \(Account/alice\)"),
        (b"__holdfast_x", BadRequestError, r"key '__holdfast_x': .* reserved \(Account/alice\)"),
        (b"\xff", CodecError, r"not valid UTF-8 \(Account/alice\)"),
        ("\ud800".encode("utf-8", "surrogatepass"), CodecError, "not valid UTF-8"),
    ],
)
def test_a_bad_key_is_refused_by_every_call_and_changes_nothing(
    key: bytes, error: type[HoldfastError], message: str
) -> None:
    turn = Instance().turn()

    for call in (
        lambda: turn.get(key),
        lambda: turn.put(key, b"v"),
        lambda: turn.delete(key),
        lambda: turn.get_many([b"ok", key]),
    ):
        with pytest.raises(error, match=message):
            call()
    assert not turn.wrote
    assert not turn.take()


def test_a_key_of_480_bytes_and_every_code_point_are_keys() -> None:
    instance = Instance()
    turn = instance.turn()
    keys = [b"k" * 480, b"\0", "é\0名".encode(), "\U0010ffff".encode() * 120]
    for key in keys:
        turn.put(key, b"v")
    instance.commit(turn)

    assert keys_of(instance.turn()) == sorted(keys)


def test_a_value_above_its_limit_is_refused_with_its_size_and_key() -> None:
    turn = Instance().turn()

    with pytest.raises(
        LimitError, match=r"value of 1048577 bytes for key 'k' exceeds the limit of 1048576 bytes \(Account/alice\)"
    ):
        turn.put(b"k", bytes(1048577))
    turn.put(b"k", bytes(1048576))


def test_a_turn_may_not_write_more_bytes_than_its_limit_but_may_replace_what_it_wrote() -> None:
    turn = Instance(Limits(turn_write_bytes_max=100)).turn()
    turn.put(b"a", bytes(50))
    turn.put(b"b", bytes(48))

    with pytest.raises(LimitError, match=r"writing 102 bytes in one turn exceeds the limit of 100 bytes \(key 'c'"):
        turn.put(b"c", b"1")
    turn.put(b"a", bytes(48))
    turn.put(b"c", b"1")
    turn.put(b"b", bytes(1))

    assert turn.get(b"c") == b"1"
    assert turn.take().size_bytes == 53


def test_a_turn_may_not_write_more_keys_than_its_limit() -> None:
    instance = Instance(Limits(turn_write_keys_max=3))
    instance.stores(z=b"1")
    turn = instance.turn()
    turn.put(b"a", b"1")
    turn.put(b"b", b"1")
    turn.delete(b"z")

    with pytest.raises(LimitError, match=r"writing 4 keys in one turn exceeds the limit of 3 keys \(Account/alice\)"):
        turn.put(b"c", b"1")
    turn.put(b"a", b"2")
    turn.delete(b"b")

    assert turn.take().writes == {b"a": b"2", b"b": None, b"z": None}


def test_alarms_are_read_through_all_layers() -> None:
    instance = Instance()
    turn = instance.turn()
    assert turn.get_alarm() is None
    turn.delete_alarm()
    assert not turn.wrote

    turn.set_alarm(-5)
    instance.commit(turn)
    assert instance.turn().get_alarm() == 0

    later = instance.turn()
    later.delete_alarm()
    instance.pending.add(later.take(), 9)
    assert instance.turn().get_alarm() is None


def test_a_turn_that_would_pass_the_quota_is_refused_by_what_it_really_adds() -> None:
    instance = Instance(Limits(instance_bytes_max=100))
    instance.stores(a=bytes(59))
    earlier = instance.turn()
    earlier.put(b"b", bytes(29))
    instance.pending.add(earlier.take(), 7)
    turn = instance.turn()
    turn.put(b"a", bytes(58))
    turn.put(b"c", bytes(10))
    assert turn.take().size_bytes == 70

    turn.put(b"c", bytes(10))
    with pytest.raises(StorageFullError, match="storage of 101 bytes exceeds the limit of 100 bytes"):
        turn.take()
    turn.delete(b"a")

    assert turn.take().writes == {b"a": None, b"c": bytes(10)}


def test_a_full_store_takes_deletes_and_overwrites_but_no_growth() -> None:
    instance = Instance()
    instance.stores(a=b"12345", b=b"1")
    instance.store.fill()
    turn = instance.turn()
    turn.put(b"a", b"123456")

    with pytest.raises(StorageFullError):
        turn.take()
    turn.put(b"a", b"54321")
    turn.delete(b"b")
    instance.commit(turn)

    assert instance.stored.live_bytes == 6
