"""How long to wait before a child that died is replaced.

A child that had been ready is replaced at once or nearly so, for others wait for it, and what killed it was most often
a single call; one that never became ready will most likely fail again, so it is tried less and less often, for ever.
"""

from __future__ import annotations

from typing import Final

HEALTHY_S: Final = 60.0
_STEP_S: Final = 0.1


class BackOff:
    """The delays of one keeper; `deaths` are those in a row, none of them after a healthy minute."""

    def __init__(self) -> None:
        self.deaths = 0

    def delay_after(self, lived_s: float, was_ready: bool) -> float:
        """Seconds to wait after a death.

        Args:
            lived_s: from its start to its end.
            was_ready: it had said so.
        """
        if was_ready and lived_s >= HEALTHY_S:
            self.deaths = 0
        self.deaths += 1
        at_once, longest_s = (3, 0.4) if was_ready else (1, 5.0)
        if self.deaths <= at_once:
            return 0.0
        doublings = min(self.deaths - at_once - 1, 10)
        return min(longest_s, _STEP_S * float(1 << doublings))
