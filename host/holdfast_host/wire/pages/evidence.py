"""What a call that had no answer yet is answered when its worker is gone: a decision from evidence, not a guess.

The evidence is the call's word on the state page and the group that its partition had reached when the successor opened
it. Nothing here acts: the client's link sends again or answers as told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdfast_host.core.errors import ActorOutputGateError, HoldfastError, HostUnavailableError
from holdfast_host.wire.pages.state_page import BEGUN, LEFT, NOT_BEGUN, Fate, fate_of


@dataclass(frozen=True, slots=True)
class Opened:
    """A worker's HELLO: which process, and per partition its epoch and the group reached when it opened it."""

    pid: int
    epochs: dict[int, int] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)

    @classmethod
    def from_hello(cls, facts: dict[str, Any]) -> Opened:
        """Read the HELLO's facts; KeyError, TypeError or ValueError when they are not a HELLO's."""
        partitions = {int(number): each for number, each in facts["partitions"].items()}
        return cls(
            int(facts["pid"]),
            {number: int(each["epoch"]) for number, each in partitions.items()},
            {number: int(each["group"]) for number, each in partitions.items()},
        )


def judge(word: int, partition: int, before: Opened | None, after: Opened | None) -> HoldfastError | None:
    """What to answer a call; None when it is to be sent again.

    Args:
        word: the call's word on the page that the gone worker wrote.
        partition: where the call's instance lies.
        before: the HELLO of the worker that was sent the call, None when none was ever connected.
        after: the successor's HELLO, None when no successor came in time.
    """
    if after is None:
        return _without_successor(word)
    if before is not None and is_same_worker(before, after):
        # The link broke, the worker lives: a word may still change after we read it.
        return _unknown("the link to its worker broke")
    if partition not in after.groups:
        return _without_successor(word)
    fate = fate_of(word, after.groups[partition])
    if fate is Fate.NOT_BEGUN:
        return None
    if fate is Fate.NOT_COMMITTED:
        return _nothing_committed()
    if fate is Fate.SENT:
        return ActorOutputGateError("the call's worker died behind its turn: what it sent has left, its result is lost")
    if fate is Fate.COMMITTED and before is not None and is_next(before, after, partition):
        return ActorOutputGateError(
            "the call's worker died at its commit: what the call wrote is on disk, unless there was no room for it, "
            "and its result is lost"
        )
    # A process between the two may have reached the number with groups of its own.
    return _unknown("its worker died")


def is_same_worker(before: Opened, after: Opened) -> bool:
    """Whether the link alone broke."""
    return before.pid == after.pid and before.epochs == after.epochs


def is_next(before: Opened, after: Opened, partition: int) -> bool:
    """Whether nobody had the partition between the two: else a group's number may be that one's."""
    return after.epochs.get(partition) == before.epochs.get(partition, 0) + 1


def _without_successor(word: int) -> HoldfastError:
    if word == NOT_BEGUN:
        return HostUnavailableError("the call's worker is gone and no successor came in time: the call has not begun")
    if word == BEGUN and not word & LEFT:
        return _nothing_committed()
    return _unknown("its worker died")


def _nothing_committed() -> HoldfastError:
    return HostUnavailableError("the call's worker died during the turn: it committed nothing")


def _unknown(cause: str) -> HoldfastError:
    return ActorOutputGateError(f"the outcome of the call is unknown: {cause} while it ran")
