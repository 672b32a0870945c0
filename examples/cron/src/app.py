from datetime import timedelta

from holdfast import JobInfo, StatefulActor

DAYS_KEPT = 30


class Meter(StatefulActor):
    """Counts, closes each day at midnight, and reports on weekday mornings.

    `day:2026-11-01` holds what a day has counted, in UTC; `report:2026-11-02` what was reported that morning.
    """

    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        # At each activation: what says the same again changes nothing, a version that says another time moves it.
        self.ctx.schedule("0 0 * * *", "_close", key="close")
        self.ctx.schedule("0 8 * * mon-fri", "_report", key="report", tz=self.env.ZONE)

    def count(self, by: int = 1) -> int:
        """Count; what this day has so far."""
        today = self.ctx.storage.get("today", 0) + by
        self.ctx.storage.put("today", today)
        return today

    def days(self) -> dict:
        """What each closed day has counted."""
        return {key.removeprefix("day:"): count for key, count in self.ctx.storage.scan(prefix="day:")}

    def reports(self) -> dict:
        """What was reported, by morning."""
        return {key.removeprefix("report:"): each for key, each in self.ctx.storage.scan(prefix="report:")}

    def times(self) -> dict:
        """When it runs next."""
        return {job.key: f"{job.due:%F %R}" for job in self.ctx.jobs()}

    def _close(self, info: JobInfo) -> None:
        """Close the day that has just ended.

        After several midnights without a host this runs once: what was counted is booked on the first of those days.
        """
        day = info.scheduled_time.date() - timedelta(days=1)
        self.ctx.storage.put(f"day:{day}", self.ctx.storage.get("today", 0))
        self.ctx.storage.put("today", 0)
        self.ctx.storage.delete(f"day:{day - timedelta(days=DAYS_KEPT)}")

    def _report(self, info: JobInfo) -> None:
        morning = info.scheduled_time.date()
        self.ctx.storage.put(f"report:{morning}", {"days": self.days(), "missed": info.missed})
