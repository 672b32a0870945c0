from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from holdfast import CodecError, HostError, LimitError, Storage
from tests.unit.guest.memory_host import MemoryAlarms, MemoryStorage, refusal


@pytest.fixture
def host() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def alarms() -> MemoryAlarms:
    return MemoryAlarms()


@pytest.fixture
def storage(host: MemoryStorage, alarms: MemoryAlarms) -> Storage:
    return Storage(host, alarms)


def test_what_is_put_comes_back_and_what_is_absent_is_the_default(storage: Storage) -> None:
    storage.put("a", {"n": [1, (2,)]})
    storage.put("none", None)

    assert storage.get("a") == {"n": [1, (2,)]}
    assert storage.get("none", 7) is None
    assert storage.get("b") is None
    assert storage.get("b", 7) == 7


def test_a_value_read_is_a_fresh_copy(storage: Storage) -> None:
    storage.put("a", [1])
    storage.get("a").append(2)

    assert storage.get("a") == [1]


def test_deleting_says_whether_the_key_was_there(storage: Storage) -> None:
    storage.put("a", 1)

    assert [storage.delete("a"), storage.delete("a")] == [True, False]


def test_get_many_keeps_the_order_asked_for_and_leaves_out_what_is_absent(storage: Storage) -> None:
    storage.put_many({"a": 1, "b": {2}})

    assert list(storage.get_many(key for key in ("b", "zz", "a")).items()) == [("b", {2}), ("a", 1)]
    assert storage.get_many([]) == {}


def test_put_many_writes_all_or_nothing(storage: Storage, host: MemoryStorage) -> None:
    host.put_fails_at = "b"

    with pytest.raises(CodecError, match="value of 'b'"):
        storage.put_many({"a": 1, "b": print})
    with pytest.raises(LimitError, match="value of b exceeds"):
        storage.put_many({"a": 1, "b": 2})

    assert host.values == {}


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (3, TypeError, "a storage key is a str, not int"),
        (b"a", TypeError, "not bytes"),
        ("__holdfast_x", ValueError, "reserved: '__holdfast_x'"),
        ("a\ud800", ValueError, "lone surrogate"),
    ],
)
def test_a_bad_key_is_refused_by_every_function(
    storage: Storage, key: Any, error: type[Exception], message: str
) -> None:
    for use in (
        lambda: storage.get(key),
        lambda: storage.get_many([key]),
        lambda: storage.put(key, 1),
        lambda: storage.put_many({key: 1}),
        lambda: storage.delete(key),
    ):
        with pytest.raises(error, match=message):
            use()


def test_several_keys_are_not_one_text(storage: Storage) -> None:
    with pytest.raises(TypeError, match="several keys, not one str"):
        storage.get_many("abc")


def test_a_key_may_be_any_other_text(storage: Storage) -> None:
    for key in ("_a", "__a", "名前", "a\0b", " ", "$hf"):
        storage.put(key, key)
        assert storage.get(key) == key


def test_list_takes_its_bounds_by_bytes_inclusive_and_exclusive(storage: Storage) -> None:
    storage.put_many(dict.fromkeys(("a", "a1", "a2", "b", "é", "😀", "\uffff"), 0))

    assert list(storage.list()) == ["a", "a1", "a2", "b", "é", "\uffff", "\U0001f600"]
    assert list(storage.list(prefix="a", start="a1")) == ["a1", "a2"]
    assert list(storage.list(start_after="a1", end="é")) == ["a2", "b"]
    assert list(storage.list(prefix="a", reverse=True, limit=2)) == ["a2", "a1"]


@pytest.mark.parametrize("limit", [0, 1001, -1, True, 1.0, None])
def test_a_limit_outside_1_to_1000_is_refused(storage: Storage, limit: Any) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        storage.list(limit=limit)


def test_a_list_has_one_beginning(storage: Storage) -> None:
    with pytest.raises(ValueError, match="not both"):
        storage.list(start="a", start_after="a")


def test_a_page_that_grew_too_large_is_an_error_that_names_the_next_key(storage: Storage, host: MemoryStorage) -> None:
    storage.put_many({"a": 1, "b": 2, "c": 3})
    host.page_entries_max = 2

    with pytest.raises(LimitError, match="ended before the key 'c'"):
        storage.list()


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_goes_on_over_pages_in_both_directions(storage: Storage, host: MemoryStorage, *, reverse: bool) -> None:
    storage.put_many({f"k{number:04}": number for number in range(2500)})
    storage.put("l", 0)
    host.page_entries_max = 700

    found = [number for _, number in storage.scan(prefix="k", reverse=reverse)]

    assert found == sorted(range(2500), reverse=reverse)


def test_scan_asks_for_a_small_page_first_and_stops_where_the_keys_do(storage: Storage, host: MemoryStorage) -> None:
    storage.put_many({f"k{number:04}": number for number in range(128 + 1000)})

    assert sum(1 for _ in storage.scan(start="k0000", end="k9")) == 1128
    assert [event for event in host.events if "list" in event] == ["list 128", "list 1000", "list 1000"]


def test_a_key_deleted_behind_a_scan_does_not_stop_it(storage: Storage) -> None:
    storage.put_many({f"k{number:04}": number for number in range(300)})

    for key, _ in storage.scan():
        storage.delete(key)

    assert storage.list() == {}


def test_a_transaction_that_raises_undoes_its_writes_and_propagates(storage: Storage, host: MemoryStorage) -> None:
    storage.put("a", 1)

    with pytest.raises(KeyError), storage.transaction():  # noqa: PT012  (the block is what is tested)
        storage.put("a", 2)
        with storage.transaction():
            storage.put("b", 3)
        raise KeyError

    assert storage.get_many(["a", "b"]) == {"a": 1}
    assert host.events == ["savepoint", "savepoint", "release", "rollback"]


def test_sync_inside_a_transaction_is_refused(storage: Storage, host: MemoryStorage) -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"), storage.transaction():
        storage.sync()
    storage.sync()

    assert host.events == ["savepoint", "rollback", "sync"]


def test_an_error_of_the_host_keeps_its_name(storage: Storage, host: MemoryStorage) -> None:
    host.sync = lambda: (_ for _ in ()).throw(refusal("ActorOutputGateError", "the sync failed"))  # type: ignore[method-assign]

    with pytest.raises(HostError, match="the sync failed") as caught:
        storage.sync()

    assert (caught.value.name, caught.value.retryable) == ("ActorOutputGateError", False)


NOW_S = 1_793_534_400
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "due_us"),
    [
        (NOW, NOW_S * 10**6),
        (NOW.astimezone(timezone(timedelta(hours=5))), NOW_S * 10**6),
        (NOW_S, NOW_S * 10**6),
        (NOW_S + 0.25, NOW_S * 10**6 + 250_000),
        (10**9, 10**15),
        (datetime(1, 1, 1, tzinfo=UTC), 0),
        (datetime.max.replace(tzinfo=UTC), 253402300799999999),
    ],
)
def test_an_alarms_time_crosses_in_microseconds(storage: Storage, alarms: MemoryAlarms, when: Any, due_us: int) -> None:
    storage.set_alarm(when)

    assert alarms.due_us == due_us
    assert storage.get_alarm() == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due_us)


def test_a_timedelta_counts_from_now(storage: Storage) -> None:
    before = datetime.now(UTC)
    storage.set_alarm(timedelta(hours=1))

    found = storage.get_alarm()
    assert found is not None
    assert timedelta(hours=1) <= found - before + timedelta(microseconds=1) <= timedelta(hours=1, minutes=1)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (datetime(2026, 11, 1), "time zone"),
        (NOW_S * 1000, "milliseconds"),
        (30, r"write timedelta\(seconds=...\)"),
        (0, "before September 2001"),
        (-5.0, "before September 2001"),
        (-(10**400), "so many seconds since 1970"),
        (float("nan"), "no time"),
        (float("inf"), "no time"),
        (timedelta(days=3_000_000), "year 10000"),
        (timedelta.max, "year 10000"),
    ],
)
def test_a_time_that_nobody_can_mean_is_a_value_error(storage: Storage, when: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        storage.set_alarm(when)


@pytest.mark.parametrize("when", ["tomorrow", True, None])
def test_what_is_no_time_is_a_type_error(storage: Storage, when: Any) -> None:
    with pytest.raises(TypeError, match="an alarm takes"):
        storage.set_alarm(when)


def test_without_an_alarm_there_is_none(storage: Storage) -> None:
    storage.set_alarm(NOW)
    storage.delete_alarm()

    assert storage.get_alarm() is None


def test_a_host_without_alarms_says_so_by_name(storage: Storage, alarms: MemoryAlarms) -> None:
    alarms.supported = False

    for use in (lambda: storage.set_alarm(NOW), storage.get_alarm, storage.delete_alarm):
        with pytest.raises(HostError) as caught:
            use()
        assert caught.value.name == "UnsupportedError"


def test_what_is_stored_is_the_encoding_of_the_contract(storage: Storage, host: MemoryStorage) -> None:
    storage.put("a", {1, 2})

    assert json.loads(host.values["a"]) == {"$hf": "set", "v": [1, 2]}


def test_delete_all_clears_the_alarm_unless_it_is_to_keep_it(storage: Storage, alarms: MemoryAlarms) -> None:
    storage.set_alarm(NOW)
    storage.delete_all(keep_alarm=True)
    kept = alarms.due_us
    storage.delete_all()

    assert (kept, alarms.due_us) == (NOW_S * 10**6, -1)


def test_delete_all_works_where_the_host_has_no_alarms(
    storage: Storage, host: MemoryStorage, alarms: MemoryAlarms
) -> None:
    alarms.supported = False
    storage.put("k", 1)
    storage.delete_all()

    assert host.values == {}


class Unending(MemoryStorage):
    """A host that lets no block be undone."""

    def rollback(self) -> None:
        raise refusal("ActorOutputGateError", "nothing can commit any more")


def test_a_block_that_cannot_be_undone_says_so_beside_the_exception_under_way(alarms: MemoryAlarms) -> None:
    storage = Storage(Unending(), alarms)

    with pytest.raises(KeyError, match="under way") as caught, storage.transaction():
        raise KeyError("under way")
    assert caught.value.__notes__ == [
        "what the transaction() block wrote could not be undone: nothing can commit any more"
    ]


def test_no_scan_that_is_over_stands_between_the_storage_and_its_host(storage: Storage, host: MemoryStorage) -> None:
    storage.put_many({"a": 1, "b": 2, "c": 3})
    ended = list(storage.scan())
    broken = next(storage.scan())

    assert (len(ended), broken) == (3, ("a", 1))
    assert storage._host is host
