import time

from holdfast import AlarmInfo, StatefulActor

BATCH = 100  # reminders that one turn rings: a turn's writes are bounded


class Reminders(StatefulActor):
    """Many timers on the one alarm: it is always set to the earliest reminder that waits.

    `waits:TIME:NUMBER` holds a reminder until its time; the keys' order is the order of the times.
    """

    def remind(self, text: str, in_s: float) -> int:
        """Ring after so many seconds; the reminder's number."""
        number = self.ctx.storage.get("count", 0) + 1
        self.ctx.storage.put("count", number)
        self.ctx.storage.put(f"waits:{_microseconds(time.time() + in_s)}:{number}", {"number": number, "text": text})
        self._set_alarm()
        return number

    def cancel(self, number: int) -> bool:
        """Forget a reminder; whether it still waited."""
        for key, reminder in self.ctx.storage.scan(prefix="waits:"):
            if reminder["number"] == number:
                self.ctx.storage.delete(key)
                self._set_alarm()
                return True
        return False

    def waiting(self) -> list:
        """The texts that have not rung, earliest first."""
        return [reminder["text"] for _, reminder in self.ctx.storage.scan(prefix="waits:")]

    def rung(self) -> list:
        """The texts that have rung, in order."""
        return self.ctx.storage.get("rung", [])

    def alarm(self, info: AlarmInfo) -> None:
        """Ring what is due, and set the alarm for the next one.

        All of this commits at once, or not at all and then runs again: no reminder rings twice, none is forgotten.
        """
        due = self.ctx.storage.list(prefix="waits:", end=f"waits:{_microseconds(time.time())};", limit=BATCH)
        for key in due:
            self.ctx.storage.delete(key)
        self.ctx.storage.put("rung", self.rung() + [reminder["text"] for reminder in due.values()])
        self._set_alarm()

    def _set_alarm(self) -> None:
        earliest = self.ctx.storage.list(prefix="waits:", limit=1)
        if earliest:
            self.ctx.storage.set_alarm(int(next(iter(earliest)).split(":")[1]) / 1e6)
        else:
            self.ctx.storage.delete_alarm()


def _microseconds(seconds: float) -> str:
    return f"{round(seconds * 1e6):017}"
