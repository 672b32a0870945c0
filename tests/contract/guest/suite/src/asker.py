"""An actor that asks outside."""

from typing import Any

from holdfast import LimitError, Request, Response, StatefulActor, http


class Asker(StatefulActor):
    """Sends what a test wants sent."""

    def ask(self, method: str, url: str, options: dict[str, Any]) -> dict[str, Any]:
        return _shown(http.request(method, url, **options))

    def verbs(self, url: str) -> list[Any]:
        answers = [http.get(url), http.post(url, json={"n": 1}), http.put(url, body="x"), http.patch(url, body=b"\xff")]
        return [*(_shown(each) for each in answers), http.delete(url).json()]

    def hand_on(self, url: str) -> dict[str, Any]:
        answer = http.fetch(Request(url, "POST", {"X-A": "1"}, "body"))
        return {"is_response": isinstance(answer, Response), **_shown(answer)}

    def failing(self, url: str, options: dict[str, Any]) -> list[Any]:
        try:
            http.get(url, **options)
        except http.HttpError as error:
            return [type(error).__name__, error.retryable, error.message]
        except (LimitError, ValueError, TypeError) as error:
            return [type(error).__name__, False, str(error)]
        return []

    def put_then_ask(self, value: int, url: str) -> int:
        self.ctx.storage.put("value", value)
        return http.get(url).status

    def ask_and_fail(self, url: str) -> None:
        self.ctx.storage.put("value", 1)
        http.post(url, json={})
        raise ValueError("after the request")

    def stream(self, method: str, url: str, options: dict[str, Any]) -> list[Any]:
        with http.stream(method, url, **options) as answer:
            kind = answer.headers.get("content-type")
            return [answer.status, kind, b"".join(answer).decode(), list(answer), answer.read()]

    def stream_lines(self, url: str) -> list[str]:
        with http.stream("GET", url) as answer:
            return list(answer.lines())

    def stream_events(self, url: str) -> list[Any]:
        with http.stream("GET", url) as answer:
            return [[each.event, each.data, each.id, each.retry] for each in answer.events()]

    def stream_some(self, url: str, closes: bool) -> list[int]:
        """Read one piece, and close the answer, or leave that to the turn's end."""
        self.left = http.stream("GET", url)
        read = len(next(self.left))
        if closes:
            self.left.close()
            return [read, len(self.left.read())]
        return [read]

    def stream_left(self) -> int:
        """Read what an earlier turn has left."""
        return len(self.left.read())

    def stream_count(self, url: str) -> int:
        with http.stream("GET", url) as answer:
            return sum(len(piece) for piece in answer)

    def stream_whole(self, url: str) -> int:
        with http.stream("GET", url) as answer:
            return len(answer.read())

    def stream_failing(self, url: str, options: dict[str, Any]) -> list[Any]:
        pieces: list[str] = []
        try:
            with http.stream("GET", url, **options) as answer:
                pieces.extend(piece.decode() for piece in answer)
        except http.HttpError as error:
            return [type(error).__name__, pieces, error.message]
        return pieces

    def stream_over_a_pause(self, url: str, other: str) -> list[str]:
        """Open an answer, read a piece, ask elsewhere, read on; how the last two failed."""
        answer = http.stream("GET", url)
        next(answer)
        failures = []
        for step in (lambda: http.get(other), answer.read):
            try:
                step()
            except http.HttpError as error:
                failures.append(type(error).__name__)
        return failures

    def value(self) -> int | None:
        found: int | None = self.ctx.storage.get("value")
        return found


def _shown(answer: http.HttpResponse) -> dict[str, Any]:
    kind = answer.headers.get("content-type")
    return {"status": answer.status, "type": kind, "text": answer.text()}
