"""Hosts that beat in one store while they are paused, cut off, killed, and while the store hangs: time is a number.

What is true is known here, so that what an observer says can be held against it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from holdfast_host.supervisor.cluster.membership import FIRST_BEAT_S, PERIOD_S, Observations, Sign

STEP_S = 0.05
TTL_S = 3.0


@dataclass
class Beating:
    """One host as it is."""

    name: str
    life: int = 1
    beat: int = 0
    beat_at: float = 0.0  # the last one that the store has
    due_at: float = 0.0
    away_until: float = 0.0  # paused, or cut off from the store
    is_dead: bool = False


@dataclass
class History:
    """One run: a seed, what happens, and what an observer holds against each host."""

    seed: int
    hosts_count: int = 3
    hangs: bool = True
    faults: list[str] = field(default_factory=list)
    suspected: set[str] = field(default_factory=set)
    found_after_s: list[float] = field(default_factory=list)  # of those that died, until they were held for dead

    def run(self, length_s: float, observed: Observations | None = None) -> History:
        """Play it; what was wrong is in `faults`."""
        chance = random.Random(self.seed)
        observed = observed or Observations(TTL_S)
        hosts = [Beating(f"h{number}", chance.getrandbits(8)) for number in range(self.hosts_count)]
        now, hangs_until, observer_away_until, round_at = 0.0, 0.0, 0.0, 0.0
        rounds_since_gap: list[float] = []
        while now < length_s:
            now += STEP_S
            if self.hangs and chance.random() < 0.002:
                hangs_until = now + chance.uniform(0.5, 20.0)
            if chance.random() < 0.001:
                observer_away_until = now + chance.uniform(0.5, 20.0)
            for host in hosts:
                self._live(host, now, hangs_until, chance)
            if now < round_at or now < observer_away_until or now < hangs_until:
                continue
            took_s = chance.uniform(0.0, 0.3)
            if rounds_since_gap and now + took_s - rounds_since_gap[-1] > PERIOD_S + 1.0:
                rounds_since_gap.clear()
            rounds_since_gap.append(now + took_s)
            observed.note(now, now + took_s, [Sign(each.name, each.life, each.beat) for each in hosts])
            round_at = now + PERIOD_S
            for host in hosts:
                self._judge(host, now, rounds_since_gap[0], observed)
        return self

    def _live(self, host: Beating, now: float, hangs_until: float, chance: random.Random) -> None:
        if host.is_dead:
            if chance.random() < 0.002:  # it is started again
                host.is_dead, host.life, host.beat, host.beat_at = False, chance.getrandbits(8), 0, now
            return
        if chance.random() < 0.0005:
            host.is_dead = True
            return
        if chance.random() < 0.001:
            host.away_until = now + chance.uniform(0.2, 2 * TTL_S)
        if now >= max(host.due_at, host.away_until, hangs_until):
            host.beat, host.beat_at, host.due_at = host.beat + 1, now, now + PERIOD_S

    def _judge(self, host: Beating, asked_at: float, seen_since: float, observed: Observations) -> None:
        still_s = asked_at - host.beat_at
        if observed.is_silent(host.name):
            self.suspected.add(host.name)
            if still_s < TTL_S:
                self.faults.append(f"{asked_at:.2f}: {host.name} is held for dead {still_s:.2f} s after its beat")
            if asked_at - seen_since < TTL_S:
                self.faults.append(f"{asked_at:.2f}: {host.name} is held for dead by who has just come back")
        elif still_s > TTL_S + 4 * PERIOD_S and asked_at - seen_since > FIRST_BEAT_S + 4 * PERIOD_S:
            self.faults.append(f"{asked_at:.2f}: {host.name} has not beaten for {still_s:.2f} s, and nobody says so")
