"""Attacks by sockets and jobs: floods, lies to the host's functions, and handlers that end badly."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from odd_things import EvilBaseError

from holdfast import Request, Response, StatefulActor, gather

KIB = 1 << 10
MIB = 1 << 20
NAMES = {"BadRequestError", "LimitError", "InvalidNameError", "UnknownBindingError", "OutboundDeniedError"}
DEEP = "[" * 3000
NO_OBJECTS = ("", "null", "[]", "7", '"x"', "{", "{]", "{\\}", "\0", DEEP, "{}{}", "x" * 3 * MIB)
RECEIVERS = (*NO_OBJECTS, '{"ids":7}', '{"ids":[7]}', '{"ids":{}}', '{"tag":7}', '{"but":"x"}', '{"tag":"\\ud800"}')
REQUEST = '"method":"GET","url":"http://127.0.0.1:9/","headers":'


class HostileRoom(StatefulActor):
    """Accepts sockets, and does to them what their path and their messages say."""

    def fetch(self, request: Request) -> Response:
        kind = request.path.strip("/")
        accepted = self.ctx.accept_socket(request, ["all"], kind.removeprefix("close/"))
        if kind == "twice":
            self.ctx.accept_socket(request)
        elif kind == "unsaid":
            return Response("no socket at all")
        elif kind == "trap":
            os._exit(1)
        elif kind == "raise":
            raise EvilBaseError
        elif kind == "anothers":
            accepted.accepted = {"type": "Account", "name": "good-0"}
        elif kind == "rubbish":
            accepted.accepted = {"type": 7, "name": ["x" * 1000]}  # type: ignore[dict-item]  # a lie
        elif kind == "long":
            accepted.headers.add("X-Long", "x" * 70_000)
        return accepted

    def socket_message(self, ws: Any, message: str | bytes) -> Any:
        """An attack, or an echo."""
        attack = ATTACKS.get(message) if isinstance(message, str) else None
        if attack is not None:
            return attack(ws)
        ws.send(message)
        return object()

    def socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        attack = ATTACKS.get(ws.attachment)
        if attack is not None:
            attack(ws)

    def noop(self, *_arguments: Any) -> None:
        pass

    def count(self) -> int:
        return self.ctx.count_sockets()

    def flood(self, what: str) -> None:
        """More of it than one turn may have."""
        if what == "gather":
            gather(*(self.env.ROOM.id_from_name("other").start.noop() for _ in range(65)))
        for number in range(30_000):
            if what == "sends":
                self.ctx.broadcast("x")
            elif what == "bytes":
                self.ctx.broadcast("x" * MIB)
            elif what == "a message":
                self.ctx.broadcast("x" * (MIB + 1))
            elif what == "jobs":
                self.ctx.schedule(timedelta(hours=1), "noop")
            elif what == "a job":
                self.ctx.schedule(timedelta(hours=1), "noop", "x" * 256 * KIB)
            elif what == "topics":
                self.ctx.publish(f"topic {number}", "x")
            elif what == "events":
                self.ctx.publish("topic", "x" * 10 * KIB)
            elif what == "attachments":
                for each in self.ctx.get_sockets():
                    each.attachment = "x" * (number + 1) * KIB
            elif what == "auto responses":
                self.ctx.set_socket_auto_response("x" * (number + 1), "y")
            else:
                raise NotImplementedError(what)

    def flood_for_ever(self) -> None:
        """Refused again and again."""
        while True:
            try:
                self.ctx.broadcast("x" * 100 * KIB)
                self.ctx.schedule(timedelta(hours=1), "noop")
            except Exception:
                continue

    def leave(self, method: str, count: int, seconds: float) -> None:
        for _ in range(count):
            self.ctx.schedule(timedelta(seconds=seconds), method)

    def lies(self, other: str) -> list[str]:
        """What was taken, or not refused by a name, of everything that breaks the contract."""
        from componentize_py_types import Err

        told = []
        for function, arguments in _lies(other):
            try:
                said = f"took it: {function(*arguments)!r}"
            except Err as error:
                said = json.loads(error.value)["name"]
            if said not in NAMES:
                told.append(f"{function.__module__}.{function.__name__}{arguments!r:.100}: {said:.200}")
        return told

    def reach(self, other: str) -> int:
        """Do to a socket of another instance what one may do to one's own."""
        from wit_world.imports import sockets as raw

        raw.send(json.dumps({"ids": [other]}), "from a stranger", "{}")
        raw.attach(other, '"a stranger"')
        raw.close(json.dumps({"ids": [other]}), 4000, "by a stranger")
        return self.ctx.count_sockets()

    def _loop(self) -> None:
        while True:
            pass

    def _trap(self) -> None:
        os._exit(1)

    def _lose_memory(self) -> None:
        held = []
        while True:
            held.append(bytearray(MIB))


def _lies(other: str) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Functions of the host, and what breaks their contracts."""
    from wit_world.imports import http, jobs, sockets

    for socket in ("", "1", "x" * 16, "0" * 16, "f" * 16, "9" * 100_000, "\u0661" * 16, other):
        yield sockets.accept, (socket, "{}")
    for limit in (0, 1_001, 4_294_967_295):
        yield sockets.list, (None, "", limit)
        yield jobs.list, ("", limit)
    for to in RECEIVERS:
        yield sockets.send, (to, "x", "{}")
        yield sockets.close, (to, 1000, "")
    odd = (
        '{"binary":1}',
        '{"binary":true}',
        '{"event":7}',
        '{"event":"a\\nb"}',
        '{"id":"\\u0000"}',
        '{"id":"\\ud800"}',
    )
    for options in (*NO_OBJECTS, *odd, f'{{"event":"{"x" * 2000}"}}'):
        yield sockets.send, ("{}", "no base64: \xe9", options)
    for value in ("{", "x", DEEP, f'"{"x" * 17 * KIB}"'):
        yield sockets.attach, ("f" * 16, value)
    for code in (0, 999, 1004, 1005, 1006, 2999, 5000, 4_294_967_295):
        yield sockets.close, ("{}", code, "")
    yield sockets.close, ("{}", 1000, "\xe9" * 62)
    yield sockets.auto_response, ("x" * 3 * KIB, "")
    yield sockets.auto_response, ("x", "x" * 3 * KIB)
    for job in (*NO_OBJECTS, *_bad_jobs()):
        yield jobs.put, (job,)
    for by in (*NO_OBJECTS, "{}", '{"id":7}', '{"id":"x"}', '{"key":""}', f'{{"id":"{"0" * 32}","key":"k"}}'):
        yield jobs.cancel, (by,)
    for asked in (http.request, http.open):
        for request in (*NO_OBJECTS[:-1], *_bad_requests()):
            yield asked, (request,)


def _bad_jobs() -> Iterator[str]:
    run, call = '"kind":"run","method":"noop"', '"kind":"call","method":"noop","binding":"ROOM","name":"x"'
    yield from ("{}", '{"kind":7}', '{"kind":"steal"}', '{"kind":"run"}', '{"kind":"call"}', '{"kind":"http"}')
    for more in (
        '"due_us":"now"', '"due_us":-1', '"due_us":1.5', '"due_us":1e400', f'"due_us":{"9" * 30}', '"key":7',
        '"key":""', f'"key":"{"k" * 256}"', '"key":"\\ud800"', '"cron":"* *"', '"cron":"61 * * * *"', '"cron":7',
        '"cron":"* * * * *","tz":"Mars/Moon"', '"cron":"* * * * *","due_us":99', '"method":7', '"method":""',
        '"arguments":7', f'"arguments":{DEEP}', f'"arguments":["{"x" * 257 * KIB}"]', '"then":7', '"steal":1',
    ):  # fmt: skip
        yield f"{{{run},{more}}}"
    for more in ('"binding":7', '"binding":"NOBODY"', '"name":""', '"name":7', f'"name":"{"x" * 257}"', '"then":7'):
        yield f"{{{call},{more}}}"
    for request in ("7", "{}", f"{{{REQUEST}7}}", f'{{{REQUEST}[["a"]]}}', '{"method":"GET","url":7,"headers":[]}'):
        yield f'{{"kind":"http","request":{request}}}'


def _bad_requests() -> Iterator[str]:
    yield from ("{}", '{"method":7}', '{"method":"GET"}', '{"method":"GET","url":7,"headers":[]}')
    for headers in ("7", "{}", '"x"', '[["a"]]', '[["a",7]]', '[["a\\nb","c"]]', '[["a","b\\r\\nc: d"]]', '[["",""]]'):
        yield f"{{{REQUEST}{headers}}}"
    for more in ('"timeout_ms":"x"', '"timeout_ms":-1', '"body":7', '"body_base64":7', '"body_base64":"\xe9"'):
        yield f"{{{REQUEST}[],{more}}}"


def _raise(_ws: Any) -> None:
    raise EvilBaseError


def _loop(_ws: Any) -> None:
    while True:
        pass


def _trap(_ws: Any) -> None:
    os._exit(1)


def _hoard(_ws: Any) -> None:
    held = []
    while True:
        held.append(bytearray(MIB))


def _send_for_ever(ws: Any) -> None:
    while True:
        try:
            ws.send("x" * KIB)
        except Exception:
            continue


def _send_much(ws: Any) -> None:
    for _ in range(10_000):
        ws.send("x" * KIB)


def _attach_itself(ws: Any) -> None:
    ring: list[Any] = []
    ring.append(ring)
    ws.attachment = ring


ATTACKS: dict[str, Callable[[Any], None]] = {
    "raise": _raise,
    "loop": _loop,
    "trap": _trap,
    "hoard": _hoard,
    "send for ever": _send_for_ever,
    "send much": _send_much,
    "attach itself": _attach_itself,
}
