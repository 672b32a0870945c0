from __future__ import annotations

import pytest

from holdfast_host.core.errors import BadRequestError
from holdfast_host.wire.calls.frames import Call
from holdfast_host.wire.calls.idempotency import fingerprint, key_hash, scoped


def call(method: bytes = b"deposit", body: bytes = b"[5]", flags: int = 0, kind: int = 0, **others: int) -> Call:
    return Call(others.get("slot", 1), 7, others.get("budget_ms", 9), kind, flags, b"alice", method, b"", body, b"ckey")


def test_calls_that_say_the_same_have_one_fingerprint_and_all_others_another() -> None:
    different = [
        call(),
        call(method=b"withdraw"),
        call(body=b"[6]"),
        call(flags=1),
        call(flags=2),
        call(kind=1),
        call(method=b"deposit[", body=b"5]"),
        call(method=b"", body=b"deposit[5]"),
    ]

    assert fingerprint(call()) == fingerprint(call(slot=2, budget_ms=1))
    assert len({fingerprint(each) for each in different}) == len(different)
    assert {len(fingerprint(each)) for each in different} == {16}


def test_a_key_of_a_caller_is_in_no_other_scope() -> None:
    assert key_hash(scoped(b"order-17")) != key_hash(b"jorder-17")
    assert len(key_hash(scoped(b"x" * 255))) == 16


@pytest.mark.parametrize("size", [0, 256])
def test_a_key_that_is_empty_or_too_long_is_refused_with_its_size(size: int) -> None:
    with pytest.raises(BadRequestError, match=f"of {size} bytes: it has 1 to 255 bytes"):
        scoped(b"x" * size)
