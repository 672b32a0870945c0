"""The short form of the fuzzer of HTTP streams; `make hostile` is the long one."""

from __future__ import annotations

import pytest

from holdfast_host.front.calls.actor_calls import WholeRequest
from holdfast_host.front.known import direct
from tests.hostile import streams


def test_known_heads_on_and_off_answer_every_stream_alike() -> None:
    row = streams.run(4, seed=1)

    assert row.fits, row.seen


def test_a_front_that_takes_more_for_a_known_call_than_it_is_differs_and_the_stream_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognise = direct.DirectCalls.recognise

    def carelessly(self: direct.DirectCalls, data: bytes) -> WholeRequest | None:
        """Whatever comes behind a request is a part of it."""
        whole = (recognise(self, data[:end]) for end in range(len(data), 0, -1))
        return next((each for each in whole if each is not None), None)

    monkeypatch.setattr(direct.DirectCalls, "recognise", carelessly)
    row = streams.run(60, seed=1)

    assert not row.fits
    assert "python -m tests.hostile.streams " in row.seen
