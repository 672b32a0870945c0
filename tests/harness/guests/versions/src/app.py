"""What a function may be at its first version, and renamed at its second; a test makes another of this text."""

import time
from typing import Any

from holdfast import AlarmInfo, StatefulActor

VERSION = 1


class Store(StatefulActor):
    """Says in which version it runs."""

    def put(self, value: int) -> dict[str, Any]:
        self.ctx.storage.put("value", value)
        return {"version": self._version()}

    def get(self) -> dict[str, Any]:
        return {"version": self._version(), "value": self.ctx.storage.get("value"), "type": self.ctx.type}

    def compute(self, seconds: float) -> dict[str, Any]:
        print("computing")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return {"version": self._version()}

    def _version(self) -> int:
        return VERSION


class Kiosk(Store):
    """The same, renamed in the version after."""

    def _version(self) -> int:
        return VERSION + 1


class Bell(StatefulActor):
    """Sets an alarm, which it handles."""

    def arm(self) -> None:
        self.ctx.storage.set_alarm(4e9)

    def alarm(self, info: AlarmInfo) -> None:
        """Never due."""
