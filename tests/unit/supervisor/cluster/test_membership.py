"""Who is held for dead, and by whom: by clocks that tests move, against a model of what is true."""

from __future__ import annotations

import pytest

from holdfast_host.supervisor.cluster import membership
from holdfast_host.supervisor.cluster.membership import FIRST_BEAT_S, PERIOD_S, Observations, Sign
from tests.unit.supervisor.cluster.membership_model import TTL_S, History

SEEDS = range(150)


class Watch:
    """An observer whose rounds a test makes, one each period."""

    def __init__(self) -> None:
        self.observed = Observations(TTL_S)
        self.now = 100.0

    def rounds(self, count: int, *signs: Sign, period_s: float = PERIOD_S) -> bool:
        """Whether the first one is silent at their end."""
        for _ in range(count):
            self.now += period_s
            self.observed.note(self.now - 0.01, self.now, signs)
        return self.observed.is_silent(signs[0].host)


def sign(beat: int, life: int = 7, host: str = "a") -> Sign:
    return Sign(host, life, beat)


def test_a_host_is_silent_once_its_beat_has_stood_still_for_the_time_to_live() -> None:
    watch = Watch()
    assert not watch.rounds(1, sign(1))
    assert not watch.rounds(6, sign(1)), "2.99 s lie between the end of the first round and the beginning of the last"

    assert watch.rounds(1, sign(1))
    assert watch.observed.stands_still_s("a") == pytest.approx(3.49)


def test_a_beat_or_another_life_is_a_sign_of_life() -> None:
    watch = Watch()
    assert watch.rounds(10, sign(1))
    assert not watch.rounds(1, sign(2))
    assert watch.rounds(7, sign(2))
    assert not watch.rounds(1, sign(2, life=8))
    assert watch.observed.moves("a")


def test_a_beat_that_goes_back_is_one_too() -> None:
    """A store that was restored to the past: somebody writes there."""
    watch = Watch()
    watch.rounds(10, sign(9))

    assert not watch.rounds(1, sign(3))


def test_who_was_away_has_seen_nothing_and_gives_the_first_beat_longer() -> None:
    watch = Watch()
    watch.rounds(2, sign(1))
    assert not watch.rounds(1, sign(1), period_s=8.0)
    assert not watch.rounds(int(FIRST_BEAT_S / PERIOD_S), sign(1))
    assert watch.rounds(1, sign(1))

    assert not watch.rounds(1, sign(2))
    assert watch.rounds(7, sign(2)), "once it has beaten it has the usual time again"


def test_one_of_which_the_store_has_no_connection_has_half_the_time_but_not_after_a_gap() -> None:
    """After a failover of the store nobody has connections."""
    watch = Watch()
    watch.rounds(4, sign(1))
    assert not watch.observed.is_silent("a", is_gone=True)
    watch.rounds(1, sign(1))
    assert watch.observed.is_silent("a", is_gone=True)
    assert not watch.observed.is_silent("a")

    watch.rounds(1, sign(1), period_s=8.0)
    watch.rounds(12, sign(1))
    assert not watch.observed.is_silent("a", is_gone=True)


def test_nobody_is_silent_who_was_never_seen_or_whose_row_is_gone() -> None:
    watch = Watch()
    assert watch.rounds(10, sign(1))
    watch.rounds(1, sign(1, host="b"))

    assert not watch.observed.is_silent("a")
    assert watch.observed.stands_still_s("a") == 0.0


def test_in_no_history_is_a_host_held_for_dead_that_has_beaten_and_none_for_alive_that_has_not() -> None:
    """Pauses, cuts, deaths, restarts, and a store that hangs, at random."""
    suspected = 0
    for seed in SEEDS:
        history = History(seed).run(120.0)
        assert not history.faults, (seed, history.faults[:5])
        suspected += len(history.suspected)

    assert suspected > 50, "the histories show nothing: nobody ever falls silent"


def test_without_the_rule_of_gaps_hosts_are_held_for_dead_after_the_store_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(membership, "GAP_S", 1e9)

    assert any(History(seed).run(120.0).faults for seed in SEEDS)


def test_without_the_longer_wait_for_the_first_beat_hosts_that_come_back_late_are_suspected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: after a failover the observer is back at once, another host 5 s later."""

    def judged() -> bool:
        watch = Watch()
        watch.rounds(2, sign(1))
        watch.rounds(1, sign(1), period_s=8.0)
        return watch.rounds(10, sign(1))

    assert not judged()
    monkeypatch.setattr(membership, "FIRST_BEAT_S", 0.0)
    assert judged()
