"""How long to wait before a child that died is replaced.

A child that had been ready is replaced at once or nearly so, for others wait for it, and what killed it was most often
a single call; one that never became ready will most likely fail again, so it is tried less and less often, for ever.
"""

from __future__ import annotations

from typing import Final

HEALTHY_S: Final = 60.0
_STEP_S: Final = 0.1


class BackOff:
    """The delays of one supervised process; `deaths` are those in a row, none of them after a healthy minute."""

    def __init__(self) -> None:
        self.deaths = 0
        self._failed_starts = 0  # in a row

    def delay_after(self, lived_s: float, was_ready: bool) -> float:
        """Seconds to wait after a death.

        Args:
            lived_s: from its start to its end.
            was_ready: it had said so.
        """
        if was_ready and lived_s >= HEALTHY_S:
            self.deaths = 0
        self.deaths += 1
        if was_ready:
            self._failed_starts = 0
            return _doubled(self.deaths - 3, longest_s=0.4)
        self._failed_starts += 1
        return _doubled(self._failed_starts - 1, longest_s=5.0)


def _doubled(times: int, longest_s: float) -> float:
    """0, then 0.1 s, doubled each time."""
    return 0.0 if times <= 0 else min(longest_s, _STEP_S * float(1 << min(times - 1, 10)))
