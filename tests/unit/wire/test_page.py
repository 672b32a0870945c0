from __future__ import annotations

import os

import pytest

from holdfast_host.core.limits import SLOTS
from holdfast_host.wire.pages.state_page import BEGUN, FIRST_GROUP, LEFT, NOT_BEGUN, Fate, StatePage, fate_of


@pytest.mark.parametrize(
    ("word", "group_reached", "fate"),
    [
        (NOT_BEGUN, 9, Fate.NOT_BEGUN),
        (BEGUN, 9, Fate.NOT_COMMITTED),
        (10, 9, Fate.NOT_COMMITTED),
        (9, 9, Fate.COMMITTED),
        (FIRST_GROUP, 9, Fate.COMMITTED),
        (LEFT, 9, Fate.UNKNOWN),
        (LEFT | BEGUN, 9, Fate.UNKNOWN),
        (LEFT | 10, 9, Fate.UNKNOWN),
    ],
)
def test_a_word_and_the_group_reached_decide_a_calls_fate(word: int, group_reached: int, fate: Fate) -> None:
    assert fate_of(word, group_reached) is fate


def test_both_sides_see_one_page() -> None:
    client = StatePage.create()
    worker = StatePage(os.dup(client.fd))
    worker.words[0] = LEFT | 7
    worker.words[SLOTS - 1] = BEGUN

    assert (client.words[0], client.words[1], client.words[SLOTS - 1]) == (LEFT | 7, NOT_BEGUN, BEGUN)
    assert len(client.words) == SLOTS
    client.close()
    assert worker.words[0] == LEFT | 7
    worker.close()


def test_a_closed_page_leaves_no_descriptor() -> None:
    page = StatePage.create()
    page.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(page.fd)
