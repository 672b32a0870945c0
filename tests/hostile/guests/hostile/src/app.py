"""Actors that attack their host: each method one attack, named after what it does. They lie by subject beside."""

import os

from connecting import HostileRoom
from leaving import EndsBadly, SaysOddThings
from odd_things import EvilBaseError
from reaching import PassesTheSdk, ReachesOut, StaysBehind, StoresOddThings
from streaming import AsksOutside, fetch
from terminals import HostileText
from time_and_space import TakesSpace, TakesTime

from holdfast import AlarmInfo, Context, Env, StatefulActor

__all__ = ["AsksOutside", "Hostile", "HostileInit", "HostileRoom", "HostileText", "fetch"]

MIB = 1 << 20


class Hostile(
    TakesTime,
    TakesSpace,
    EndsBadly,
    SaysOddThings,
    StoresOddThings,
    PassesTheSdk,
    ReachesOut,
    StaysBehind,
    StatefulActor,
):
    """One attack a method."""

    def good(self) -> int:
        value: int = self.ctx.storage.get("good", 0) + 1
        self.ctx.storage.put("good", value)
        return value

    def noop(self) -> None:
        pass

    def alarm(self, info: AlarmInfo) -> None:
        pass


class HostileInit(StatefulActor):
    """Attacks while it is made, as its name says."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        if ctx.name.startswith("endless"):
            while True:
                pass
        if ctx.name.startswith("exit"):
            os._exit(1)
        if ctx.name.startswith("raise"):
            raise EvilBaseError
        if ctx.name.startswith("memory"):
            self.held = [bytearray(MIB) for _ in range(100)]
        if ctx.name.startswith("write"):
            self.ctx.storage.put("k", 1)
            raise ValueError("written and raised")

    def noop(self) -> None:
        pass
