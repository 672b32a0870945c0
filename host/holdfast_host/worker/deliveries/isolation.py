"""What has killed a worker runs one at a time, alarms and jobs together: a poisonous one must not take others along."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from holdfast_host.worker.deliveries.stages import Stage
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.worker.deliveries.stages import Delivery


@leaders
class Isolation:
    """The one that may run, and those in line behind it."""

    def __init__(self) -> None:
        self._alone: Delivery | None = None
        self._line: deque[Delivery] = deque()

    def line_of(self, owner: object) -> int:
        """How many of a kind are in line."""
        return sum(delivery.owner is owner for delivery in self._line) if self._line else 0

    def admit(self, delivery: Delivery) -> bool:
        """Whether it may run now; else it stands in line."""
        if self._alone is None:
            self._alone = delivery
        if self._alone is delivery:
            return True
        delivery.enter(Stage.IN_LINE)
        self._line.append(delivery)
        return False

    def leave(self, delivery: Delivery) -> Delivery | None:
        """A delivery is over: the next in line, where it was the one that ran."""
        if delivery is not self._alone:
            return None
        self._alone = self._line.popleft() if self._line else None
        return self._alone
