import json
from urllib.parse import unquote

from holdfast import ActorError, Request, Response, StatefulActor

SAID = "said"  # the topic
KEPT = 200  # messages that the room remembers
CHARS_MAX = 2_000
PAGES_MAX = 10  # open pages of one user whose messages are counted once
BROKEN = 4400


class Room(StatefulActor):
    """What is said here, in order, for all who are here; and the last of it for those who come.

    What is said is a topic, so a page that connects again gets what it has missed. Who is here are the open sockets.
    `pages:USER` has the number of the last message of each page: one that a page says again, not knowing whether it
    was heard, counts once.
    """

    def fetch(self, request: Request) -> Response:
        """Let somebody in: what was said after `after` (0: all that is remembered), who is here, then all that comes.

        An event stream gets the same, and only listens.
        """
        user = unquote(request.headers["X-User"])
        is_here = self.ctx.count_sockets(_tag(user)) > 0
        after = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
        page = request.query.get("page", "")[:40]
        accepted = self.ctx.subscribe(request, SAID, after, [_tag(user)], {"user": user, "page": page})
        accepted.socket.send(_event("here", {"you": user, "users": self.users()}))
        if not is_here:
            self.ctx.broadcast(_event("came", user), but=accepted.socket)
        return accepted

    def socket_message(self, ws, message) -> None:
        read = _read(message)
        if read is None:
            ws.close(BROKEN, 'a message is {"n": 1, "text": "hello"}')
            return
        number, text = read
        user, page = ws.attachment["user"], ws.attachment["page"]
        pages = self.ctx.storage.get(f"pages:{user}", {})
        if number <= pages.pop(page, 0):
            return  # said again, and heard the first time
        newest = [*pages.items(), (page, number)][-PAGES_MAX:]
        self.ctx.storage.put(f"pages:{user}", dict(newest))
        self._publish({"user": user, "text": text, "page": page, "n": number})

    def socket_close(self, ws, code, reason, was_clean) -> None:
        user = ws.attachment["user"]
        if self.ctx.count_sockets(_tag(user)) == 0:
            self.ctx.broadcast(_event("left", user))

    def say(self, user: str, text: str) -> int:
        """Say something from outside: a program, another actor, a job. The number of the message."""
        if not 1 <= len(text) <= CHARS_MAX:
            raise ActorError(f"a message has 1 to {CHARS_MAX} characters", code="bad_message")
        return self._publish({"user": user, "text": text})

    def users(self) -> list[str]:
        """Who is here."""
        return sorted({each.attachment["user"] for each in self.ctx.get_sockets()})

    def _publish(self, message: dict) -> int:
        return self.ctx.publish(SAID, message, event=SAID, keep=KEPT)


def _read(message: str | bytes) -> tuple[int, str] | None:
    """The number and the text of what a page says; None where it is nothing of the kind."""
    try:
        said = json.loads(message)
        number, text = said["n"], said["text"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    fits = type(number) is int and number > 0 and isinstance(text, str) and 1 <= len(text) <= CHARS_MAX
    return (number, text) if fits else None


def _tag(user: str) -> str:
    return f"user:{user}"


def _event(event: str, data: object) -> str:
    """As the topic's own events look to a WebSocket."""
    return json.dumps({"event": event, "data": json.dumps(data)})
