"""A room that clients open sockets to, by the function and directly."""

from __future__ import annotations

from typing import Any

from holdfast import Request, Response, StatefulActor


class Room(StatefulActor):
    """It numbers the messages and tells all; some of them are orders."""

    def fetch(self, request: Request) -> Response:
        user = request.query.get("user", "anybody")
        if request.wants_events or "after" in request.query:
            return self.ctx.subscribe(request, "news", request.query.get("after"))
        accepted = self.ctx.accept_socket(request, tags=[f"user:{user}"], attachment={"user": user})
        accepted.socket.send(f"welcome {user}")
        self.ctx.storage.put("opened", self.ctx.storage.get("opened", 0) + 1)
        if request.query.get("fail"):
            raise ValueError("after it had accepted")
        return accepted

    def socket_message(self, ws: Any, message: str | bytes) -> None:
        if isinstance(message, bytes):
            ws.send(message[::-1])
        elif message == "raise":
            ws.send("never said")
            raise ValueError("as it was told")
        elif message == "publish":
            self.ctx.publish("news", "from the page")
        elif message == "close":
            ws.close(4000, "as you wish")
        elif message == "flood":
            for _ in range(200):
                self.ctx.broadcast("x" * 5_000)
        elif message == "linger":  # until the worker dies, behind what is durable
            self.ctx.storage.put("n", self.ctx.storage.get("n", 0) + 1)
            self.ctx.storage.sync()
            while True:
                pass
        elif message.startswith("pass on "):
            self.ctx.broadcast(f"passed on {ws.attachment['user']}: {message}")
        else:
            number = self.ctx.storage.get("n", 0) + 1
            self.ctx.storage.put("n", number)
            self.ctx.broadcast(f"{number} {ws.attachment['user']}: {message}")

    def socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        closed = self.ctx.storage.get("closed", [])
        self.ctx.storage.put(
            "closed", [*closed, [ws.attachment["user"] if ws.attachment else "", code, reason, was_clean]]
        )

    def closed(self) -> list[Any]:
        found: list[Any] = self.ctx.storage.get("closed", [])
        return found

    def opened(self) -> int:
        count: int = self.ctx.storage.get("opened", 0)
        return count

    def said(self) -> int:
        count: int = self.ctx.storage.get("n", 0)
        return count

    def count(self) -> int:
        return self.ctx.count_sockets()

    def publish(self, text: str) -> int:
        return self.ctx.publish("news", text)

    def answer_pings(self, answer: str) -> None:
        self.ctx.set_socket_auto_response("ping", answer)

    def report(self, text: str) -> None:
        self.ctx.storage.put("report", text)

    def reported(self) -> str | None:
        found: str | None = self.ctx.storage.get("report")
        return found


def fetch(request: Request, env: Any) -> Response:
    if request.method == "POST":
        env.ROOM.id_from_name(f"report from {request.path}").report(request.text())
        return Response("", status=204)
    if not request.wants_socket and not request.wants_events:
        return Response(PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
    answer: Response = env.ROOM.id_from_name(request.query.get("room", "lobby")).fetch(request)
    return answer


PAGE = """<!doctype html><meta charset="utf-8"><title>chat</title>
<script>
const seen = [], base = location.pathname
const say = (text) => seen.push(text)
const report = () => fetch(base + "done", { method: "POST", mode: "no-cors", body: JSON.stringify(seen) })
const room = "?room=browser&user=page"
const socket = new WebSocket("ws://" + location.host + base + "ws" + room)
socket.onopen = () => socket.send("héllo")
socket.onmessage = ({ data }) => {
  say(data)
  if (data.startsWith("1 ")) listen()
}
socket.onclose = ({ code, reason, wasClean }) => { say(`closed ${code} ${reason} ${wasClean}`); report() }
function listen() {
  const events = new EventSource(base + "events" + room)
  events.onopen = () => socket.send("publish")
  events.onmessage = ({ data, lastEventId }) => {
    say(`event ${lastEventId.split("-")[0]} ${data}`)
    events.close()
    socket.send("close")
  }
}
</script>
"""
