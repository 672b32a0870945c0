"""What Storage holds of what it has read and written: fewer questions to the host, and never another answer."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import LimitError, Storage
from holdfast._state.storage import HELD_CHARS_MAX, HELD_KEYS_MAX, HELD_NOTHING
from tests.unit.guest.memory_host import MemoryAlarms, MemoryStorage


@pytest.fixture
def host() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def storage(host: MemoryStorage) -> Storage:
    return Storage(host, MemoryAlarms())


@pytest.mark.parametrize(
    "value",
    [5, "text", "", None, True, 0, -0.0, float("inf"), [1, [2]], {"a": 1}, (), (1, 2), {3}, Decimal("1.0"), b"x"],
)
def test_a_key_that_was_read_or_written_is_not_asked_for_again(
    storage: Storage, host: MemoryStorage, value: Any
) -> None:
    Storage(host, MemoryAlarms()).put("read", value)
    storage.put("written", value)

    for _ in range(3):
        for key in ("read", "written"):
            assert repr(storage.get(key, "default")) == repr(value)
    assert host.reads == ["read"]


def test_an_absent_key_is_not_asked_for_again_and_gives_each_readers_own_default(
    storage: Storage, host: MemoryStorage
) -> None:
    assert [storage.get("a"), storage.get("a", 1), storage.get("a", [])] == [None, 1, []]
    storage.put("b", 1)
    storage.delete("b")
    assert storage.get("b", 2) == 2
    assert host.reads == ["a"]


def test_what_a_reader_changes_is_not_what_is_held(storage: Storage) -> None:
    value: list[int] = [1]
    storage.put("a", value)
    value.append(2)
    storage.get("a").append(3)

    assert storage.get("a") == [1]


def test_a_block_that_is_undone_is_forgotten_with_all_that_was_held(storage: Storage) -> None:
    storage.put("a", 1)
    with suppress(LookupError), storage.transaction():
        storage.put("a", 2)
        storage.delete("b")
        assert storage.get("a") == 2
        raise LookupError

    assert [storage.get("a"), storage.get("b")] == [1, None]


def test_what_the_host_refused_is_not_held(storage: Storage, host: MemoryStorage) -> None:
    storage.put("a", 1)
    host.put_fails_at = "a"
    with pytest.raises(LimitError):
        storage.put("a", 2)
    with pytest.raises(LimitError):
        storage.put_many({"b": 1, "a": 2})

    assert [storage.get("a"), storage.get("b")] == [1, None]


def test_a_large_value_is_asked_for_each_time(storage: Storage, host: MemoryStorage) -> None:
    storage.put("a", 1)
    storage.put("a", "x" * HELD_CHARS_MAX)

    assert [len(storage.get("a")) for _ in range(2)] == [HELD_CHARS_MAX] * 2
    assert host.reads == ["a", "a"]


def test_a_bounded_number_of_values_is_held(storage: Storage, host: MemoryStorage) -> None:
    for number in range(3 * HELD_KEYS_MAX):
        storage.put(f"key {number}", number)
        storage.get(f"other {number}")
        assert len(storage._held) <= HELD_KEYS_MAX

    assert [storage.get(f"key {number}") for number in range(3 * HELD_KEYS_MAX)] == [*range(3 * HELD_KEYS_MAX)]


def test_a_host_that_is_to_see_each_read_sees_it(host: MemoryStorage) -> None:
    storage = Storage(host, MemoryAlarms(), held_chars_max=HELD_NOTHING)
    storage.put("a", 1)

    assert [storage.get("a"), storage.get("a"), storage.get("b"), storage.get("b")] == [1, 1, None, None]
    assert host.reads == ["a", "a", "b", "b"]


def test_a_key_of_another_class_than_text_finds_what_its_text_holds(storage: Storage) -> None:
    class Key(str):
        __slots__ = ()

    storage.put(Key("a"), 1)
    assert [storage.get("a"), storage.get(Key("a"))] == [1, 1]
    with pytest.raises(TypeError):
        storage.get(1)  # type: ignore[arg-type]


_keys = st.sampled_from(["a", "b", "c"])
_values = st.sampled_from([0, 1, "text", "x" * HELD_CHARS_MAX, [1], {"k": [2]}, None, 1.5, date(2026, 1, 2)])
_steps = st.recursive(
    st.lists(
        st.one_of(
            st.tuples(st.just("get"), _keys),
            st.tuples(st.just("put"), _keys, _values),
            st.tuples(st.just("put_many"), st.dictionaries(_keys, _values)),
            st.tuples(st.just("delete"), _keys),
            st.tuples(st.just("delete_all")),
            st.tuples(st.just("refuse"), st.one_of(st.none(), _keys)),
        ),
        max_size=8,
    ),
    lambda inner: st.lists(st.tuples(st.just("block"), st.booleans(), inner), max_size=3),
    max_leaves=6,
)


@given(_steps, _steps, _steps)
def test_reads_are_those_of_a_storage_that_holds_nothing(first: Any, then: Any, at_last: Any) -> None:
    held, plain = MemoryStorage(), MemoryStorage()
    storage = Storage(held, MemoryAlarms())

    def run(steps: Any) -> None:
        for name, *arguments in steps:
            if name == "refuse":
                held.put_fails_at = plain.put_fails_at = arguments[0]
            elif name == "block":
                fails, inner = arguments
                fresh = Storage(plain, MemoryAlarms())
                with suppress(LookupError), storage.transaction(), fresh.transaction():
                    run(inner)
                    if fails:
                        raise LookupError
            else:
                outcomes = []
                for each in (storage, Storage(plain, MemoryAlarms())):
                    try:
                        outcomes.append(repr(getattr(each, name)(*arguments)))
                    except LimitError as error:
                        outcomes.append(str(error))
                assert outcomes[0] == outcomes[1]
        for key in "abc":
            assert storage.get(key) == Storage(plain, MemoryAlarms()).get(key)

    for steps in (first, then, at_last):
        run(steps)
    assert held.values == plain.values
