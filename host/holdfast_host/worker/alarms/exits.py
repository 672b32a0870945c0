"""What the gate holds of an alarm on its way until that is durable; what follows is in `deliveries`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.alarms.deliveries import Alarms
    from holdfast_host.worker.alarms.stages import Delivery
    from holdfast_host.worker.turns.turn import Turn

AGAIN_S: Final = 1.0  # after which what was lost is tried again


@leaders
class Written:
    """What became of a delivery, held by the gate until it is durable."""

    __slots__ = ("_alarms", "_delivery", "_handled", "_said")

    def __init__(self, alarms: Alarms, delivery: Delivery, *, handled: bool = False, said: bool = True) -> None:
        """What holds of it.

        Args:
            alarms: the worker's.
            delivery: what it is about.
            handled: the handler ran and returned; what is written is what it wrote.
            said: that says what has become of the alarm, and `settle` will find it there.
        """
        self._alarms = alarms
        self._delivery = delivery
        self._handled = handled
        self._said = said

    def go(self) -> None:
        """It is durable."""
        self._alarms.finish(self._delivery)
        if not self._said:
            self._alarms.look_again(self._delivery.stored)

    def fail(self, error: HoldfastError) -> None:
        """It is lost: an attempt whose writes were lost has failed, whatever its handler said."""
        if self._handled:
            self._delivery.failure = error
        self._alarms.put_aside(self._delivery, AGAIN_S)


@leaders
class Noted:
    """The note that an attempt has begun; its turn holds the instance until that is durable."""

    __slots__ = ("_alarms", "_turn")

    def __init__(self, alarms: Alarms, turn: Turn) -> None:
        self._alarms = alarms
        self._turn = turn

    def go(self) -> None:
        """The attempt may begin."""
        self._alarms.resume(self._turn)

    def fail(self, error: HoldfastError) -> None:
        """It has not begun."""
        self._alarms.give_back(self._turn)
