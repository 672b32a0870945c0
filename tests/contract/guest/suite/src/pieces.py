"""Responses of the function whose body comes in pieces, by path."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from holdfast import ActorCallError, Env, Request, Response, StatefulActor, http


class Piecewise(StatefulActor):
    """An actor that answers as only a function can, and one that counts for a function."""

    def fetch(self, request: Request) -> Response:
        self.ctx.storage.put("n", 1)
        return Response(iter(["never"]))

    def count(self) -> int:
        n: int = self.ctx.storage.get("n", 0) + 1
        self.ctx.storage.put("n", n)
        return n

    def close(self, how: str) -> None:
        self.ctx.storage.put("closed", [*self.ctx.storage.get("closed", []), how])

    def closed(self) -> Any:
        return self.ctx.storage.get("closed")

    def counted(self) -> Any:
        return self.ctx.storage.get("n")


def respond(request: Request, env: Env, path: str) -> Response:
    kind, _, name = path.partition("/")
    query = request.query
    made = {
        "words": lambda: Response(_mixed("one ", b"", "", b"t", "wo"), 201, {"X-A": "1", "Content-Length": "3"}),
        "huge": lambda: Response(_mixed(b"\x00\x7f" * 500_000, "e")),
        "async": lambda: Response(_async_words()),
        "none": lambda: Response(iter([])),
        "bodiless": lambda: Response(_steps(env, name), 204),
        "counted": lambda: Response(_steps(env, name, count=3)),
        "endless": lambda: Response(_steps(env, name, size=int(query.get("size", "0")))),
        "told": lambda: Response(_when_told(env, name, query["url"])),
        "fails": lambda: Response(_fails()),
        "wrong": lambda: Response(_mixed("one", 5)),  # type: ignore[arg-type]  # that is the mistake
        "list": lambda: Response(["one"]),  # type: ignore[arg-type]  # that is the mistake
        "hand-on": lambda: _hand_on(query["url"]),
        "tokens": lambda: Response(_tokens(env, name, query["url"]), headers={"Content-Type": "text/event-stream"}),
        "of-actor": lambda: _of_actor(env, name),
    }
    return made[kind]()


def _mixed(*pieces: str | bytes) -> Iterator[str | bytes]:
    return iter(pieces)


def _hand_on(url: str) -> Response:
    answer = http.stream("GET", url)
    return Response(answer, answer.status, {"Content-Type": answer.headers.get("content-type") or ""})


def _of_actor(env: Env, name: str) -> Response:
    try:
        found: Response = env.PIECEWISE.id_from_name(name).fetch(Request("/"))
    except ActorCallError as error:
        return Response(f"{error.name}: {error.message}")
    return found


def _steps(env: Env, name: str, count: int = 0, size: int = 0) -> Iterator[str]:
    """What an actor counts, up to a number or without end; it is told how the body has ended."""
    actor = env.PIECEWISE.id_from_name(name)
    how = "cut"
    try:
        while not count or actor.counted() != count:
            yield f"{actor.count()} " + "x" * size
        how = "whole"
    finally:
        actor.close(how)


def _when_told(env: Env, name: str, url: str) -> Iterator[str]:
    """What an actor counts, each time after an answer from outside."""
    while http.get(url).status == 200:
        yield f"{env.PIECEWISE.id_from_name(name).count()} "


def _fails() -> Iterator[str]:
    yield "one "
    yield "two"
    raise ValueError("a secret of the body")


def _tokens(env: Env, name: str, url: str) -> Iterator[str]:
    """The events of a model that streams, as they come."""
    try:
        with http.stream("POST", url, json={"stream": True}) as answer:
            for event in answer.events():
                yield f"data: {event.data}\n\n"
    finally:
        env.PIECEWISE.id_from_name(name).close("tokens")


async def _async_words() -> AsyncIterator[str]:
    lock = asyncio.Lock()
    for word in ("one ", "two ", "three"):
        async with lock:
            await asyncio.sleep(0)
            yield word
