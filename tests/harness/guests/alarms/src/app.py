"""An actor for tests of alarms: what its handler does is written in its storage by the test."""

import json
import time
from typing import Any

from holdfast import AlarmInfo, StatefulActor


class Timer(StatefulActor):
    """`how` says how its handler ends; `delivered` counts the deliveries that committed."""

    def arm(self, in_s: float, how: str = "well") -> None:
        """Set the alarm, and how its handler will end."""
        self.ctx.storage.put("how", how)
        self.ctx.storage.set_alarm(time.time() + in_s)

    def arm_at(self, when: float) -> None:
        self.ctx.storage.set_alarm(when)

    def arm_then_raise(self, in_s: float) -> None:
        self.arm(in_s)
        raise ValueError("raised on purpose")

    def clear(self) -> None:
        self.ctx.storage.delete_alarm()

    def wipe(self) -> None:
        """Delete every key; the alarm stays."""
        self.ctx.storage.delete_all(keep_alarm=True)

    def armed(self) -> bool:
        return self.ctx.storage.get_alarm() is not None

    def facts(self) -> dict[str, Any]:
        """What the handler left, and the alarm."""
        at = self.ctx.storage.get_alarm()
        return {
            "delivered": self.ctx.storage.get("delivered", 0),
            "left": self.ctx.storage.get("left", 0),
            "right": self.ctx.storage.get("right", 0),
            "lateness_s": self.ctx.storage.get("lateness_s"),
            "retry_count": self.ctx.storage.get("retry_count"),
            "early": self.ctx.storage.get("early", 0),
            "inside": self.ctx.storage.get("inside"),
            "alarm": None if at is None else at.timestamp(),
        }

    def alarm(self, info: AlarmInfo) -> None:
        """Count this delivery in several keys that one commit carries; then end as the test wants it."""
        storage = self.ctx.storage
        lateness_s = time.time() - info.scheduled_time.timestamp()
        how = storage.get("how", "well")
        if how == "sync_then_raise_once":
            storage.put("early", storage.get("early", 0) + 1)
            storage.sync()
        storage.put("inside", storage.get_alarm())
        for side in ("left", "delivered", "right"):
            storage.put(side, storage.get(side, 0) + 1)
        storage.put_many({"lateness_s": lateness_s, "retry_count": info.retry_count})
        if how == "raise" or (how.endswith("_once") and not info.is_retry):
            raise ValueError("raised on purpose")
        if how == "trap":
            json.loads("[" * 200_000 + "]" * 200_000)
        if how == "again":
            storage.put("how", "well")
            storage.set_alarm(time.time() + 0.2)
        if how.startswith("spin "):
            end = time.monotonic() + float(how.split()[1])
            while time.monotonic() < end:
                pass
