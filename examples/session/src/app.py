from datetime import timedelta

from holdfast import ActorError, AlarmInfo, StatefulActor


class Session(StatefulActor):
    def log_in(self, user: str, idle_s: float = 1800) -> dict:
        """Begin a session, which ends when nobody has touched it for `idle_s` seconds."""
        self.ctx.storage.put_many({"user": user, "idle_s": idle_s})
        return self.touch()

    def touch(self) -> dict:
        """Use the session: its end moves away. One alarm an instance: setting it replaces the one before."""
        idle_s = self.ctx.storage.get("idle_s")
        if idle_s is None:
            raise ActorError("this session has ended", code="session_ended", status=401)
        self.ctx.storage.set_alarm(timedelta(seconds=idle_s))
        return {"user": self.ctx.storage.get("user"), "expires": self.ctx.storage.get_alarm()}

    def end(self) -> None:
        """Log out now."""
        self.ctx.storage.delete_all()  # the alarm too

    def alarm(self, info: AlarmInfo) -> None:
        """Nobody came."""
        self.ctx.storage.delete_all()
