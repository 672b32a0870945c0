"""A call as an HTTP caller makes it: JSON text in, status and JSON text out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NoReturn

from holdfast._calls import KEY_BYTES_MAX
from holdfast._values.codec import encode_plain, finite
from holdfast.testing._failures import RefusedError
from holdfast.testing._records import bytes_of
from holdfast.testing._runner import Runner

NAME_BYTES_MAX: Final = 256
METHOD_BYTES_MAX: Final = 256

_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # one that never ends goes to the end
_BARE_KEY: Final = re.compile(r"[!#-~](?:[ -~]*[!-~])?")
_QUOTED_KEY: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP caller gets.

    Attributes:
        status: 200, or the error's.
        text: The body: the result as JSON, or `{"error": {...}}`.
        replayed: Whether it is the kept answer of an earlier call with the same key, as `Idempotency-Replayed` says.
    """

    status: int
    text: str
    replayed: bool = False

    @property
    def value(self) -> Any:
        """The body, parsed."""
        return json.loads(self.text)

    @property
    def error(self) -> str:
        """The error's name; empty where there is none."""
        return "" if self.status == 200 else str(self.value["error"]["name"])


def answer_call(
    runner: Runner,
    actor_type: str,
    name: str,
    method: str,
    body: Any,
    *,
    typed_arguments: bool,
    typed_result: bool,
    key: str | None,
) -> Answer:
    """Check a call as the host's front does, run it, and answer it."""
    try:
        _check_name(name)
        record = runner.record(actor_type, name)
        _check_method_name(method)
        text = body if isinstance(body, str) else "" if body is None else encode_plain(body, "the arguments")
        _check_arguments(text, runner.limits.arguments_bytes_max, runner.limits.nesting_max)
        result, replayed = runner.call(
            record,
            method,
            text,
            typed_arguments=typed_arguments,
            typed_result=typed_result,
            key="" if key is None else _check_key(key),
        )
    except RefusedError as failure:
        return Answer(failure.status, json.dumps({"error": failure.facts()}, separators=(",", ":")))
    return Answer(200, result, replayed)


def _check_key(header: str) -> str:
    value = header.strip(" \t")
    quoted = _QUOTED_KEY.fullmatch(value)
    key = re.sub(r'\\(["\\])', r"\1", quoted[1]) if quoted else value if _BARE_KEY.fullmatch(value) else ""
    if not 1 <= len(key) <= KEY_BYTES_MAX:
        text = (
            f"Idempotency-Key: {header[:40]!a} is no key: it is 1 to {KEY_BYTES_MAX} printable ASCII characters, as "
            'they are or in double quotes, where \\" and \\\\ stand for " and \\'
        )
        raise RefusedError("BadRequestError", text)
    return key


def _check_name(name: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise RefusedError(
            "InvalidNameError", "an instance name must be valid Unicode: it has a lone surrogate"
        ) from None
    if not 1 <= size <= NAME_BYTES_MAX:
        text = f"an instance name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, this one {size}"
        raise RefusedError("InvalidNameError", text)
    if "\0" in name:
        raise RefusedError("InvalidNameError", "an instance name must not contain NUL")


def _check_method_name(method: str) -> None:
    size = len(method.encode("utf-8", "replace"))
    if not 1 <= size <= METHOD_BYTES_MAX or "\0" in method:
        text = f"no method has a name of {size} bytes: 1 to {METHOD_BYTES_MAX} bytes without NUL"
        raise RefusedError("ActorUnknownMethodError", text)


def _check_arguments(text: str, bytes_max: int, nesting_max: int) -> None:
    size = bytes_of(text)
    if size > bytes_max:
        raise RefusedError("PayloadTooLargeError", f"a body of {size} bytes exceeds the limit of {bytes_max} bytes")
    if not text:
        return
    try:
        value = json.loads(text, parse_int=str, parse_float=finite, parse_constant=_refuse_constant)
    except ValueError as error:
        raise RefusedError("BadRequestError", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise RefusedError("BadRequestError", f"the body is nested deeper than {nesting_max}: flatten it") from None
    if not isinstance(value, (dict, list)):
        text = "the body is a scalar at line 1 column 1: send an object (keywords) or an array"
        raise RefusedError("BadRequestError", text)
    steps = (_STEPS.get(each, 0) for each in _STRING.sub("", text))
    if max(accumulate(steps), default=0) > nesting_max:
        raise RefusedError("BadRequestError", f"the body is nested deeper than {nesting_max}: flatten it")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
