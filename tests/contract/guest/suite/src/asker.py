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

    def value(self) -> int | None:
        found: int | None = self.ctx.storage.get("value")
        return found


def _shown(answer: http.HttpResponse) -> dict[str, Any]:
    kind = answer.headers.get("content-type")
    return {"status": answer.status, "type": kind, "text": answer.text()}
