import hashlib
import hmac
import json

from holdfast import ActorError, StatefulActor

KEPT = 1000  # events that can be sent again


class Subscription(StatefulActor):
    """Tells one subscriber what happens, until he has heard it: signed, and under a name that is his to know it again.

    `hook` says where to; `event:NUMBER` holds what was said. A delivery is a job, which is gone when it has succeeded;
    one that has failed for good stays as abandoned: those are the dead letters.
    """

    def subscribe(self, url: str, secret: str) -> dict:
        """Tell this URL from now on; the secret signs what it gets."""
        if not secret:
            raise ActorError("a subscription needs a secret to sign with", code="no_secret")
        self.ctx.storage.put("hook", {"url": url, "secret": secret})
        return {"subscriber": self.ctx.name}

    def publish(self, event: str, data: dict) -> dict:
        """Leave an event to be delivered; its number. If this turn fails, it never was."""
        number = self.ctx.storage.get("count", 0) + 1
        self.ctx.storage.put("count", number)
        self.ctx.storage.put(_event_key(number), {"event": event, "data": data})
        self.ctx.storage.delete(_event_key(number - KEPT))
        self._deliver(number)
        return {"number": number}

    def pending(self) -> list:
        """The numbers of the events that are on their way, those that wait for another try among them."""
        return sorted(_number(job) for job in self.ctx.jobs() if job.state != "abandoned")

    def dead_letters(self) -> list:
        """What could not be delivered, and why."""
        dead = [job for job in self.ctx.jobs() if job.state == "abandoned"]
        return [
            {"number": _number(job), "tries": job.tries, "why": job.last_error} for job in sorted(dead, key=_number)
        ]

    def send_again(self, number: int) -> dict:
        """Deliver an event anew, a dead letter or not. The subscriber knows it by its id."""
        if self.ctx.storage.get(_event_key(number)) is None:
            raise ActorError(f"there is no event {number} any more", code="no_such_event", status=404)
        self._deliver(number)
        return {"number": number}

    def _deliver(self, number: int) -> None:
        hook = self.ctx.storage.get("hook")
        if hook is None:
            raise ActorError("nobody has subscribed", code="not_subscribed", status=409)
        id_ = f"{self.ctx.name}-{number}"
        body = json.dumps({"id": id_, **self.ctx.storage.get(_event_key(number))})
        self.ctx.outbox.http(
            "POST",
            hook["url"],
            body=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": id_,
                "X-Signature": f"sha256={sign(hook['secret'], body)}",
            },
            key=f"event/{number}",  # takes the place of its dead letter
        )


def sign(secret: str, body: str) -> str:
    """What shows the subscriber that the body is ours."""
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def _event_key(number: int) -> str:
    return f"event:{number:09}"


def _number(job) -> int:
    return int(job.key.removeprefix("event/"))
