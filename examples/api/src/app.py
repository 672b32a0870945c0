"""An HTTP API over actors: a to-do list for each name, with the statuses and errors that clients of an API expect."""

from holdfast import ActorCallError, ActorError, Env, Request, Response, StatefulActor

TEXT_CHARS_MAX = 500
ITEMS_MAX = 1000


class TodoList(StatefulActor):
    """One list. Each item is a key of its own; numbers are never given twice."""

    def items(self, done: bool | None = None) -> list[dict]:
        """All items in the order in which they came, or those that are done, or not."""
        items = self.ctx.storage.list(prefix="item:", limit=ITEMS_MAX).values()
        return [item for item in items if done is None or item["done"] == done]

    def item(self, number: int) -> dict:
        """One item."""
        item = self.ctx.storage.get(_key(number))
        if item is None:
            raise ActorError(f"there is no item {number}", code="no_such_item", status=404)
        return item

    def add(self, text: str) -> dict:
        """Add an item."""
        if len(self.items()) >= ITEMS_MAX:
            raise ActorError(f"a list has at most {ITEMS_MAX} items", code="list_full", status=409)
        number = self.ctx.storage.get("last", 0) + 1
        self.ctx.storage.put("last", number)
        return self._put({"number": number, "text": _checked(text), "done": False})

    def change(self, number: int, text: str | None = None, done: bool | None = None) -> dict:
        """Change what is given of an item."""
        item = self.item(number)
        if text is not None:
            item["text"] = _checked(text)
        if done is not None:
            if not isinstance(done, bool):
                raise ActorError("done is true or false", code="bad_done", status=400)
            item["done"] = done
        return self._put(item)

    def remove(self, number: int) -> None:
        """Remove an item."""
        self.item(number)
        self.ctx.storage.delete(_key(number))

    def _put(self, item: dict) -> dict:
        self.ctx.storage.put(_key(item["number"]), item)
        return item


def fetch(request: Request, env: Env) -> Response:
    """`/lists/NAME/items` and `/lists/NAME/items/NUMBER`; an error is `{"error": {"code": ..., "message": ...}}`."""
    try:
        return _route(request, env)
    except ActorCallError as error:  # what an actor refused, or a call that did not fit
        return _error(error.status or 500, error.code or error.name, error.message)
    except ValueError as error:  # a body that is no JSON, a number that is none
        return _error(400, "bad_request", str(error))


def _route(request: Request, env: Env) -> Response:
    match request.method, request.path.strip("/").split("/"):
        case method, ["lists", name, "items"] if name:
            todo = env.LIST.id_from_name(name)
            if method == "GET":
                done = request.query.get("done")
                return Response.json(todo.items(done=None if done is None else done == "true"))
            if method == "POST":
                key = request.headers.get("Idempotency-Key")  # who is in doubt asks again, and adds nothing twice
                return Response.json((todo.once(key) if key else todo).add(**_body(request, {"text"})), status=201)
        case method, ["lists", name, "items", number] if name:
            todo, at = env.LIST.id_from_name(name), int(number)
            if method == "GET":
                return Response.json(todo.item(at))
            if method == "PATCH":
                return Response.json(todo.change(at, **_body(request, {"text", "done"})))
            if method == "DELETE":
                todo.remove(at)
                return Response(status=204)
        case _:
            return _error(404, "not_found", f"there is nothing at {request.path}")
    return _error(405, "method_not_allowed", f"{request.method} is nothing to do with {request.path}")


def _body(request: Request, known: set[str]) -> dict:
    body = request.json()
    if not isinstance(body, dict) or not body.keys() <= known:
        raise ValueError(f"the body is a JSON object with {' and '.join(sorted(known))}")
    return body


def _error(status: int, code: str, message: str) -> Response:
    return Response.json({"error": {"code": code, "message": message}}, status=status)


def _checked(text: str) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > TEXT_CHARS_MAX:
        raise ActorError(f"a text has 1 to {TEXT_CHARS_MAX} characters", code="bad_text", status=400)
    return text


def _key(number: int) -> str:
    return f"item:{number:09}"
