"""What the gate holds of a row on its way until that is durable; what follows is in `deliveries`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.deliveries.deliveries import Deliveries
    from holdfast_host.worker.deliveries.stages import Delivery
    from holdfast_host.worker.turns.turn import Turn

AGAIN_S: Final = 1.0  # after which what was lost is tried again


@leaders
class Written:
    """What became of a delivery, held by the gate until it is durable."""

    __slots__ = ("_deliveries", "_delivery", "_handled", "_said")

    def __init__(self, deliveries: Deliveries, delivery: Delivery, *, handled: bool = False, said: bool = True) -> None:
        """What holds of it.

        Args:
            deliveries: the worker's.
            delivery: what it is about.
            handled: the handler ran and returned; what is written is what it wrote.
            said: that says what has become of the row, and `settle` will find it there.
        """
        self._deliveries = deliveries
        self._delivery = delivery
        self._handled = handled
        self._said = said

    def go(self) -> None:
        """It is durable."""
        self._deliveries.finish(self._delivery)
        if not self._said:
            self._deliveries.look_again(self._delivery)

    def fail(self, error: HoldfastError) -> None:
        """It is lost: an attempt whose writes were lost has failed, whatever its handler said."""
        if self._handled:
            self._delivery.failure = error
        self._deliveries.put_aside(self._delivery, AGAIN_S)


@leaders
class Noted:
    """The note that an attempt has begun; its turn holds the instance until that is durable."""

    __slots__ = ("_deliveries", "_turn")

    def __init__(self, deliveries: Deliveries, turn: Turn) -> None:
        self._deliveries = deliveries
        self._turn = turn

    def go(self) -> None:
        """The attempt may begin."""
        self._deliveries.resume(self._turn)

    def fail(self, error: HoldfastError) -> None:
        """It has not begun."""
        self._deliveries.give_back(self._turn)
