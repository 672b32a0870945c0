"""The corpus of texts: what a reader could be made to look at again and again."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from tests.harness.caller import Answer, Caller
from tests.hostile.cases import Case

OK = ("200",)
REFUSED = ("BadRequestError",)
UNCLOSED = "[" * 3000 + '"' + '\\"' * 120_000
MANIFEST_BYTES = 255 << 10
BOMB = gzip.compress(bytes(9 << 20))
GZIP = {"content-encoding": "gzip"}
TARGET = "/v1/actors/Hostile/texts/noop"


def text_cases() -> list[Case]:
    """Each is read by a front, by a worker or by the supervisor, beside which others want to be served."""
    nested = '{"type":"Hostile","name":"texts","method":"noop","args":%s}'
    return [
        Case("body: a string that never ends", REFUSED, _posting(UNCLOSED), "nested deeper"),
        Case("body: integers", ("BadArgumentsError",), _posting(f"[{'1,' * 500_000}1]")),
        Case("body: arrays", ("BadArgumentsError",), _posting(f"[{'[],' * 300_000}1]")),
        Case("body: 1e400", REFUSED, _posting('{"amount":1e400}'), "no float can hold"),
        Case("body: a gzip bomb", ("PayloadTooLargeError",), _posting(BOMB, **GZIP), "100 times"),
        Case("body: a gzip bomb for nobody", ("UnknownActorTypeError",), _posting(BOMB, "/v1/actors/N/n/m", **GZIP)),
        Case("body: an unknown coding", REFUSED, _posting("[]", **{"content-encoding": "br"}), "takes gzip, deflate"),
        Case("call by body: a string that never ends", REFUSED, _posting(nested % UNCLOSED, "/v1/call"), "nested"),
        Case("call by body: integers", ("BadArgumentsError",), _posting(nested % f"[{'1,' * 500_000}1]", "/v1/call")),
        *(
            Case(f"import: {what}, a string that never ends", OK, _importing(what), said)
            for what, said in {
                "get_many": "takes a JSON array of keys",
                "call": "nested deeper",
            }.items()
        ),
        Case("import: get_many of integers", OK, _importing("get_many", "integers"), "524287 keys exceeds"),
        Case("import: get_many of 700,000 keys", OK, _importing("get_many", "keys"), "exceeds the limit of 32768 keys"),
        Case("result: a string that never ends", ("LimitError",), _importing("result"), "nested deeper"),
        Case("error: integers", ("ActorMethodError",), _importing("error", "integers"), "gave no message"),
        *(
            Case(f"manifest: {what}", ("InvalidManifestError",), _deploying(text), "holdfast.toml")
            for what, text in {
                "a.bN=1": "".join(f"a.b{number}=1\n" for number in range(MANIFEST_BYTES // 12)),
                "a.a.a": "a" + ".a" * (MANIFEST_BYTES // 2) + "=1",
                "actors": 'name="a"\ncompatibility_date="2026-11-01"\n'
                + "".join(f'[[actors]]\nbinding="A{number}"\ntype="A"\n' for number in range(MANIFEST_BYTES // 40))
                + "x=1",
                "arrays in arrays": "a=" + "[" * (MANIFEST_BYTES // 2),
            }.items()
        ),
    ]


def _posting(body: str | bytes, target: str = TARGET, **headers: str) -> Callable[[Caller], Answer]:
    return lambda caller: caller.request("POST", target, body, headers)


def _importing(what: str, shape: str = "unclosed") -> Callable[[Caller], Answer]:
    return lambda caller: caller.call("Hostile", f"text-{what}-{shape}", "odd_text", what, shape)


def _deploying(manifest: str) -> Callable[[Caller], Answer]:
    def attempt(caller: Caller) -> Answer:
        parts = {"manifest": manifest.encode(), "component": b"\0asm\x0d\0\1\0"}
        body = b"".join(
            b'--x\r\ncontent-disposition: form-data; name="%b"; filename="f"\r\n\r\n%b\r\n' % (name.encode(), part)
            for name, part in parts.items()
        )
        headers = {"content-type": "multipart/form-data; boundary=x"}
        return caller.request("PUT", "/v1/functions/texts", body + b"--x--\r\n", headers)

    return attempt
