"""A function for tests: each path does one thing that a guarantee or a limit is about."""

import json
import time
from collections.abc import Callable

from holdfast import ActorCallError, ActorError, ActorStub, Env, Request, Response, StatefulActor

SERVED = {"requests": 0}


class Desk(StatefulActor):
    """An actor with a fetch handler of its own."""

    def note(self, text: str) -> int:
        notes: list[str] = [*self.ctx.storage.get("notes", []), text]
        self.ctx.storage.put("notes", notes)
        return len(notes)

    def refuse(self) -> None:
        raise ActorError("the desk is closed", code="closed", status=423)

    def fail(self) -> None:
        raise ValueError("the desk fell over")

    def spin(self, seconds: float) -> None:
        spin(seconds)

    def known(self) -> dict[str, str]:
        return known_to(self.env)

    def fetch(self, request: Request) -> Response:
        if request.path == "/fail":
            raise ValueError("the desk fell over")
        if request.path == "/echo":
            return Response(request.body)
        if request.path == "/measure":
            return Response.json(len(request.body))
        if request.path == "/big":
            return Response(b"\xff" * int(request.query["bytes"]))
        self.note(request.text())
        headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Desk", self.ctx.name)]
        return Response(request.body[::-1], 201, headers)


def fetch(request: Request, env: Env) -> Response:
    SERVED["requests"] += 1
    route = ROUTES.get(request.path.strip("/").split("/")[0])
    return route(request, env) if route is not None else seen(request, env)


def seen(request: Request, env: Env) -> Response:
    """What the request looks like from inside."""
    facts = {
        "method": request.method,
        "url": request.url,
        "client": request.client,
        "path": request.path,
        "query": request.query,
        "headers": request.headers.items(),
        "length": len(request.body),
    }
    return Response.json(facts)


def known_to(env: Env) -> dict[str, str]:
    """Variables and secrets, by name."""
    return {name: value for name in env if isinstance(value := getattr(env, name), str)}


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def echo(request: Request, env: Env) -> Response:
    return Response(request.body, headers={"Content-Type": request.headers.get("content-type") or "text/x-none"})


def cookies(request: Request, env: Env) -> Response:
    headers = [("Set-Cookie", "a=1; Path=/"), ("set-cookie", "b=2"), ("Connection", "x-private"), ("X-Private", "1")]
    return Response("two", headers=[*headers, ("Transfer-Encoding", "chunked"), ("Content-Length", "7000")])


def smuggle(request: Request, env: Env) -> Response:
    """Go past the SDK's own check."""
    response = Response("bad")
    response.headers._pairs.append(("X-Bad", "1\r\nX-Smuggled: 1"))
    return response


def big(request: Request, env: Env) -> Response:
    return Response(b"\xff" * int(request.query["bytes"]))


def status(request: Request, env: Env) -> Response:
    return Response("the body", int(request.query["code"]))


def fail(request: Request, env: Env) -> Response:
    raise ValueError("the password is hunter2")


def trap(request: Request, env: Env) -> Response:
    json.loads("[" * 200_000 + "]" * 200_000)
    return Response("not reached")


def busy(request: Request, env: Env) -> Response:
    spin(float(request.query["seconds"]))
    return Response("done")


def served(request: Request, env: Env) -> Response:
    """How many requests this sandbox has had."""
    return Response.json(SERVED["requests"])


def environment(request: Request, env: Env) -> Response:
    return Response.json(known_to(env))


def desk(request: Request, env: Env) -> Response:
    """`/desk/NAME/METHOD`, with the body's JSON array as arguments."""
    _, name, method = request.path.strip("/").split("/")
    arguments = request.json() if request.body else []
    return Response.json(getattr(env.DESK.id_from_name(name), method)(*arguments))


def visit(request: Request, env: Env) -> Response:
    """`/visit/NAME/PATH`: hand the request on to the actor's own fetch."""
    _, name, path = request.path.strip("/").split("/")
    stub: ActorStub = env.DESK.id_from_name(name)
    return stub.fetch(Request(f"http://desk/{path}", "PUT", body=request.body))


def fetch_bytes(request: Request, env: Env) -> Response:
    """Have the actor's own fetch take, or give, so many bytes that are no text; what became of it."""
    stub: ActorStub = env.DESK.id_from_name("bytes")
    count = int(request.query["bytes"])
    try:
        if request.query["way"] == "there":
            return stub.fetch(Request("http://desk/measure", "PUT", body=b"\xff" * count))
        return Response.json(stub.fetch(Request(f"http://desk/big?bytes={count}")).body == b"\xff" * count)
    except ActorCallError as failure:
        return Response.json({"name": failure.name, "message": failure.message})


ROUTES: dict[str, Callable[[Request, Env], Response]] = {
    "echo": echo,
    "cookies": cookies,
    "smuggle": smuggle,
    "big": big,
    "status": status,
    "fail": fail,
    "trap": trap,
    "busy": busy,
    "served": served,
    "environment": environment,
    "desk": desk,
    "visit": visit,
    "fetch_bytes": fetch_bytes,
}
