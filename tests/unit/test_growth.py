"""Whoever reads text that strangers wrote takes time in proportion to its length, whatever it says."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from holdfast import Request
from holdfast._values.codec import decode, decode_arguments
from holdfast.testing._answers import _check_arguments
from holdfast_host.core import ids, json_text
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.core.manifest import parse_manifest, upper_snake
from holdfast_host.core.values import check_encoded, encode_plain, plain_text
from holdfast_host.front.access.tokens import Tokens
from holdfast_host.front.calls.arguments import check_arguments, split_call
from holdfast_host.front.functions.dispatch import FunctionHosts
from holdfast_host.front.functions.messages import read_response
from holdfast_host.front.http import paths
from holdfast_host.front.http.origin_checks import OriginChecks
from holdfast_host.front.known.boundary import Boundary
from holdfast_host.front.known.direct import DirectCalls
from holdfast_host.front.routes.state_listing import _CURSOR
from holdfast_host.sandbox.components.description import check_description
from holdfast_host.sandbox.imports import HANDLERS
from holdfast_host.wire.control.tokens import KnownTokens
from holdfast_host.worker.logs.output import shortened
from holdfast_host.worker.running.runner import _parse
from tests.unit.sandbox.turns import TestTurn

SMALL_BYTES, FACTOR = 8 << 10, 16
LARGE_S = 0.02  # what takes less for the large text harms nobody
GROWTH_MAX = 4 * FACTOR  # a square grows by 16 times the factor

LIMITS = Limits()
TURN = TestTurn()
HOST_TOKENS = Tokens("secret", KnownTokens())

pytestmark = pytest.mark.slow


def _strangers(text: str) -> None:
    strangers = OriginChecks("localhost")
    with suppress(HoldfastError):
        strangers.check_host(text)
    strangers.check_origin({"Origin": text}, text)


def _token(text: bytes) -> None:
    HOST_TOKENS.is_shown(CIMultiDict(Authorization=text.decode("latin-1")))


def _function(**headers: str) -> Callable[[str], object]:
    nothing: Any = None  # is called
    hosts = FunctionHosts(
        nothing,
        nothing,
        [],
        LIMITS,
        HOST_TOKENS,
        nothing,
        domain="actors.example.com",
        url="http://127.0.0.1:1",
    )

    class Headers(dict[str, str]):
        def getall(self, name: str, default: Any) -> Any:
            return [self[name]] if name in self else default

    def find(text: str) -> object:
        host = Headers({"Host": headers.get("host", "{}").replace("{}", text)})
        exchange: Any = SimpleNamespace(target=headers.get("target", "/{}").replace("{}", text), headers=host)
        return hosts.find(exchange)

    return find


def _feed(data: bytes) -> None:
    boundary = Boundary()
    for at in range(0, len(data), 1024):
        boundary.feed(data[at : at + 1024])


READERS: dict[str, Callable[[bytes], object]] = {
    # Calls, over HTTP and between actors, and what guests answer.
    "a call's arguments": lambda text: check_arguments(text, 100),
    "a call by body": lambda text: split_call(text, 100),
    "a call by body, its arguments": lambda text: split_call(b'{"type":"","name":"","method":"","args":' + text, 100),
    "a result": json_text.is_json,
    "its nesting": lambda text: json_text.is_nested_deeper(text, 100),
    "numbers": json_text.check_numbers,
    "commas": json_text.commas_of,
    "the body of a message": json_text.body_bytes_at_most,
    "the body of a message, at its end": lambda text: json_text.body_bytes_at_most(b'{"body_base64":"' + text + b'"}'),
    "an error of a guest": _parse,
    "keys of get-many": lambda text: HANDLERS["storage", "get-many"](TURN, text),
    "a line of the log": lambda text: HANDLERS["log", "write"](TURN, b"info", text),
    "a line that is cut": lambda text: shortened(text.decode(errors="replace"), 1000),
    "the answer of a function": lambda text: read_response(text, "GET", LIMITS),
    "a header of it": lambda text: read_response(b'{"status":200,"headers":[["A","' + text + b'"]]}', "GET", LIMITS),
    "a description": lambda text: check_description(text, LIMITS),
    # Deploys.
    "a manifest": lambda text: parse_manifest(text.decode(errors="replace")),
    "a manifest's actors": lambda text: parse_manifest(
        'name="a"\ncompatibility_date="2026-11-01"\n' + text.decode(errors="replace")
    ),
    "an environment of a manifest": lambda text: parse_manifest(
        'name="a"\ncompatibility_date="2026-11-01"\n[env.a]\n' + text.decode(errors="replace"), environment="a"
    ),
    "the name of a class": lambda text: upper_snake(text.decode(errors="replace")),
    "the name of a function": lambda text: ids.check_function_name(text.decode(errors="replace")),
    "the name of an instance": lambda text: ids.check_instance_name(text.decode(errors="replace")),
    "an identifier": lambda text: ids.check_identifier("binding", text.decode(errors="replace")),
    # Requests.
    "a target": lambda text: paths.split_target(text.decode("latin-1")),
    "an absolute target": lambda text: paths.split_authority(text.decode("latin-1")),
    "a segment of a path": lambda text: paths.decode_segment(text.decode("latin-1")),
    "flags of a query": lambda text: paths.read_flags(text.decode("latin-1"), "a"),
    "parameters of a query": lambda text: paths.read_parameters(text.decode("latin-1"), "a"),
    "a number of a query": lambda text: paths.read_number({"a": text.decode("latin-1")}, "a", 0, 100),
    "a cursor": lambda text: paths.read_cursor(text.decode("latin-1")),
    "a cursor of alarms": lambda text: _CURSOR.fullmatch(text.decode("latin-1")),
    "Host and Origin": lambda text: _strangers(text.decode("latin-1")),
    "the host of a function": lambda text: _function(host="{}.actors.example.com")(text.decode("latin-1")),
    "the port of a function": lambda text: _function(host="a.actors.example.com:{}")(text.decode("latin-1")),
    "the path of a function": lambda text: _function(target="/fn/{}")(text.decode("latin-1")),
    "the token": _token,
    "a head that may be known": lambda text: DirectCalls(None).recognise(b"POST /v1/actors/" + text),  # type: ignore[arg-type]
    "where a head ends": _feed,
    # Values, as operators see and write them, and as the SDK does.
    "a value, shown": lambda text: plain_text(text.decode(errors="replace")),
    "a value, written": lambda text: encode_plain(text.decode(errors="replace")),
    "a value, written typed": lambda text: check_encoded(text.decode(errors="replace")),
    "a value in the SDK": lambda text: decode(text.decode(errors="replace")),
    "arguments in the SDK": lambda text: decode_arguments(text.decode(errors="replace")),
    "a request in the SDK": lambda text: Request.from_wire(text.decode(errors="replace")),
    "a URL in the SDK": lambda text: Request(f"http://h/{text.decode(errors='replace')}").query,
    "a query in the SDK": lambda text: Request(f"http://h/?{text.decode(errors='replace')}").query,
    "a host in the SDK": lambda text: Request(f"http://{text.decode(errors='replace')}").path,
    "arguments in the test kit": lambda text: _check_arguments(text.decode(errors="replace"), 1 << 30, 100),
}  # fmt: skip

TOKENS = (
    *(bytes([byte]) for byte in b"[]{}\"\\,:1ae. \n\t/%=#'-_&?;+<\0"),
    b'\\"', b"\\\\", b"\\u0041", b"\\ud800", b"\\n", b"\r\n", b"%41", b"://", b'"":', b'""', b"\xc3\xa9", b"\xff",
    b"1e5,", b'"body":"', b'{"$hf":', b'"a<n>":1,', b"a.b<n>=1\n", b"[a<n>]\n", b"[[a]]\n",
    b'[[actors]]\nbinding="A<n>"\ntype="T"\n',
    b'"""', b".localhost", b".actors.example.com", b"http://", b"null", b"1.5,", b"aB", b"A",
)  # fmt: skip
Shape = tuple[list[bytes], list[bytes], list[bytes]]  # what it begins with, what is repeated, and what it ends with
SHAPES: st.SearchStrategy[Shape] = st.tuples(
    st.lists(st.sampled_from(TOKENS), max_size=3),
    st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3),
    st.lists(st.sampled_from(TOKENS), max_size=2),
)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@example(([b"[" * 3000, b'"'], [b'\\"'], []))
@example(([b"[" * 300], [b'"'], []))
@example(([b"[" * 300, b'"'], [b"\\"], []))
@example(([b"["], [b"1,"], [b"1]"]))
@example(([b"["], [b"[],"], [b"1]"]))
@example(([b"["], [b'"a<n>",'], [b'""]']))
@example(([], [b"["], []))
@example(([b"{"], [b'"a<n>":1,'], [b'"a":1}']))
@example(([b"1."], [b"1"], [b"e400"]))
@example(([], [b"a.b<n>=1\n"], []))
@example(([b"a"], [b".a"], [b"=1"]))
@example(([], [b'[[actors]]\nbinding="A<n>"\ntype="T<n>"\n'], []))
@example(([], [b"a"], []))
@example(([b'a="'], [b"\\n"], []))
@given(shape=SHAPES)
def test_no_text_takes_more_than_its_length_says(reader: str, shape: Shape) -> None:
    read = READERS[reader]
    small_s = _took_s(read, _text(shape, SMALL_BYTES), 0.0)
    large = _text(shape, SMALL_BYTES * FACTOR)
    large_s = _took_s(read, large, LARGE_S)

    assert large_s <= max(LARGE_S, GROWTH_MAX * small_s), f"{large[:60]!r}...: {small_s:.4f} s, then {large_s:.4f} s"


def _text(shape: Shape, size: int) -> bytes:
    first, unit, last = (b"".join(part) for part in shape)
    times = size // len(unit)
    repeated = b"".join(unit.replace(b"<n>", b"%x" % at) for at in range(times)) if b"<n>" in unit else unit * times
    return first + repeated + last


def _took_s(read: Callable[[bytes], object], text: bytes, enough_s: float) -> float:
    """The shortest of three times, or the first that is short enough."""
    took: list[float] = []
    gc.collect(1)
    gc.disable()  # a collection looks at all that the tests hold
    try:
        while len(took) < 3 and (not took or min(took) > enough_s):
            began = time.thread_time()
            with suppress(Exception):
                read(text)
            took.append(time.thread_time() - began)
    finally:
        gc.enable()
    return min(took)
