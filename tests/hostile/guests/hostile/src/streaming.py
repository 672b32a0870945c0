"""Attacks by bodies that come in pieces, and by requests to the outside."""

import os
from collections.abc import Callable, Iterator
from typing import Any

from holdfast import Env, HostError, Request, Response, StatefulActor, http

MIB = 1 << 20
NOWHERE = "http://127.0.0.1:9/"


def fetch(request: Request, env: Env) -> Response:
    """A body named by the path."""
    kind = request.path.strip("/")
    if kind == "head":
        return Response(iter(["x"]), headers={"X-Long": "x" * 70_000})
    return Response(BODIES[kind]())


def _for_ever() -> Iterator[str]:
    while True:
        yield "x" * 1000


def _flood() -> Iterator[bytes]:
    piece = bytes(4 * MIB)
    while True:
        yield piece


def _never() -> Iterator[str]:
    while True:
        pass
    yield "x"


def _nothing_for_ever() -> Iterator[str]:
    while True:
        yield ""


def _hoard() -> Iterator[str]:
    held = []
    while True:
        held.append(bytearray(MIB))
        yield f"{len(held)} "


def _exit() -> Iterator[str]:
    yield "x"
    os._exit(1)


def _raise_in_close() -> Iterator[str]:
    try:
        yield from _for_ever()
    finally:
        raise ValueError("not over yet")


def _go_on_in_close() -> Iterator[str]:
    while True:
        try:
            yield "x" * 1000
        except GeneratorExit:
            continue


def _loop_in_close() -> Iterator[str]:
    try:
        yield from _for_ever()
    finally:
        while True:
            pass


def _call_itself_in_close() -> Iterator[str]:
    try:
        yield from _for_ever()
    finally:
        for _ in range(1000):
            http.get(NOWHERE, timeout=0.01)


def _a_base_error() -> Iterator[str]:
    yield "x"
    raise KeyboardInterrupt


BODIES: dict[str, Callable[[], Iterator[Any]]] = {
    "for-ever": _for_ever,
    "flood": _flood,
    "never": _never,
    "nothing": _nothing_for_ever,
    "hoard": _hoard,
    "exit": _exit,
    "raise-in-close": _raise_in_close,
    "go-on-in-close": _go_on_in_close,
    "loop-in-close": _loop_in_close,
    "call-in-close": _call_itself_in_close,
    "base-error": _a_base_error,
}


class AsksOutside(StatefulActor):
    """Asks what nobody may ask, and more of it than anybody needs."""

    def flood(self, count: int) -> int:
        denied = 0
        for _ in range(count):
            try:
                http.get(NOWHERE)
            except http.OutboundDeniedError:
                denied += 1
        return denied

    def odd_requests(self) -> list[str]:
        told = []
        for method, url, headers in (
            ("GET /\r\nX: y", NOWHERE, {}), ("CONNECT", NOWHERE, {}), ("GET", "http://a b/", {}),
            ("GET", "http://" + "a" * 100_000, {}), ("GET", "http://[::1", {}), ("GET", NOWHERE, {"X": "\ud800"}),
            ("GET", "http://169.254.169.254/latest/meta-data/", {}), ("GET", "http://0x7f000001/", {}),
        ):  # fmt: skip
            try:
                http.request(method, url, headers=headers)
                told.append("it was sent")
            except (http.HttpError, HostError, ValueError) as error:
                told.append(type(error).__name__)
        return told

    def forged_streams(self) -> list[str]:
        from wit_world.imports import http as raw

        told = []
        for name in ("1", "0", "-1", "99999999999999999999", "x" * 100_000, "\u0661", ""):
            try:
                told.append(raw.read(name, 4_294_967_295))
            except Exception as error:
                text = str(getattr(error, "value", error))
                told.append("BadRequestError" if "BadRequestError" in text else text)
        return told
