"""Values on every way between guest, host and people: what the SDK writes and reads against what the host does.

The two are separate programs that must agree on each text: the SDK's codec, and the host's `core/values.py`. Values are
made by hypothesis from a seed; a text that is almost an encoding is one of theirs with a few of its parts changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from holdfast import CodecError as GuestCodecError
from holdfast._values.codec import decode, encode, encode_arguments, encode_plain
from holdfast_host.core.errors import CodecError
from holdfast_host.core.values import check_encoded, plain_text
from holdfast_host.core.values import encode_plain as host_encode_plain
from tests.harness.caller import Caller
from tests.harness.values import JSON_VALUES, VALUES, shape
from tests.hostile.stage import Row

_TYPED: Final = "application/vnd.holdfast+json"
_TAGS: Final = (
    "bytes", "date", "datetime", "decimal", "dict", "float", "frozenset", "int", "set", "time", "timedelta", "tuple",
    "uuid", "arguments", "never", "",
)  # fmt: skip
_PARTS: Final[tuple[Any, ...]] = (
    None, True, 1, 1.0, -0.0, "", "x", "1", "2026-11-01", "12:30:00", "AP8=", "nan", "-1f", [], [1], [0, 0, 0], {},
    {"$hf": 1},
    {"$hf": "tuple", "v": []},
    {"$hf": "set", "v": [1, True]},
    {"$hf": "dict", "v": [[{}, 1]]},
    {"$hf": "float", "v": "inf"},
    {"$hf": "datetime", "v": "2026-11-01T12:00:00+01:00[_name=%41][_fold=1][x]"},
    {"$hf": "decimal", "v": "1E+9999999999"},
)  # fmt: skip


def run_here(examples: int, seeded: int) -> list[Row]:
    """A row for each way that needs no host, with so many values each."""
    ways: list[tuple[str, st.SearchStrategy[Any], Callable[[Any], None]]] = [
        ("typed, guest to host to guest", VALUES, _typed),
        ("plain, guest's beside host's", VALUES, _plain),
        ("plain PUT, host to guest", st.tuples(JSON_VALUES, st.booleans()), _plain_put),
        ("texts that are almost encodings", st.builds(_spoiled, VALUES, st.data()), _almost),
    ]
    return [_row(what, examples, seeded, values, check) for what, values, check in ways]


def run_through(caller: Caller, examples: int, seeded: int) -> Row:
    """A row for so many values through a host on which the probe is deployed: typed PUT, call, typed and plain GET."""
    return _row("through a host", examples, seeded, VALUES, lambda value: _through(caller, value))


def _row(what: str, examples: int, seeded: int, values: st.SearchStrategy[Any], check: Callable[[Any], None]) -> Row:
    began = time.monotonic()
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    said = f"{examples} values"
    try:
        seed(seeded)(limits(given(values)(check)))()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    fits = said == f"{examples} values"
    return Row(f"values: {what}", f"agree (seed {seeded})", said, fits, None, time.monotonic() - began)


def _typed(value: Any) -> None:
    text = encode(value)

    assert check_encoded(text) == text, text
    assert shape(decode(text)) == shape(value), text
    assert len(text.encode()) == len(text.encode("utf-8", "surrogatepass")), "a lone surrogate would trap"
    if isinstance(value, list):
        assert encode_arguments(tuple(value), {}, "arguments") in (text, ""), text


def _plain(value: Any) -> None:
    text = encode(value)
    here, there = _try(plain_text, text), _try(lambda _: encode_plain(value), text)

    assert here == there, text


def _plain_put(made: tuple[Any, bool]) -> None:
    value, escaped = made
    text = json.dumps(value, ensure_ascii=escaped, indent=1 if escaped else None)
    stored = host_encode_plain(text)

    assert shape(decode(stored)) == shape(json.loads(text)), stored
    assert encode(decode(stored)) == stored, text
    assert plain_text(stored) == encode_plain(json.loads(text)), stored


def _almost(text: str) -> None:
    checked, read = _try(check_encoded, text), _try(lambda each: encode(decode(each)), text)

    assert (checked is None) == (read is None), f"{text} is an encoding to one side alone"
    if checked is not None:
        assert shape(decode(checked)) == shape(decode(text)), text
        assert _try(plain_text, checked) == _try(lambda each: encode_plain(decode(each)), checked), text
        assert check_encoded(encode(decode(text))) == encode(decode(text)), text


def _through(caller: Caller, value: Any) -> None:
    typed = {"content-type": _TYPED, "accept": _TYPED}
    text, path = encode(value), "/v1/instances/Probe/values/storage"

    answer = caller.request("PUT", f"{path}/put", text.encode(), typed)
    assert answer.status == 200, f"{text}: {answer.text}"
    answer = caller.request("POST", "/v1/actors/Probe/values/get", b'["put"]', {"accept": _TYPED})
    assert (answer.status, answer.text) == (200, text), answer.text
    arguments = encode(["called", value]).encode()
    answer = caller.request("POST", "/v1/actors/Probe/values/put", arguments, typed)
    assert answer.status == 200, f"{text}: {answer.text}"
    answer = caller.request("GET", f"{path}/called", None, typed)
    assert (answer.status, answer.text) == (200, text), answer.text
    answer = caller.request("GET", f"{path}/called")
    plain = _try(lambda _: encode_plain(value), text)
    assert answer.text == plain if plain is not None else answer.error == "CodecError", answer.text


def _try(convert: Callable[[str], str], text: str) -> str | None:
    """What it makes of a text; None where it refuses it, in whichever words."""
    try:
        return convert(text)
    except (CodecError, GuestCodecError):
        return None


def _spoiled(value: Any, data: st.DataObject) -> str:
    """The text of a value with a few of its parts changed: other tags, other parts, members more or less."""
    form = json.loads(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        form = _changed(form, data)
    text = json.dumps(form, separators=(",", ":"), ensure_ascii=data.draw(st.booleans()))
    if data.draw(st.integers(0, 9)) == 0:
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at] + data.draw(st.sampled_from(['"', "\\", "[", "}", "0", "e", "\\u0024hf", " ", "NaN"])) + text[at:]
        )
    return text.encode("utf-8", "replace").decode()


def _changed(form: Any, data: st.DataObject) -> Any:
    """One part of a JSON form changed, wherever it stands."""
    if isinstance(form, list) and form and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(form) - 1))
        return [*form[:at], _changed(form[at], data), *form[at + 1 :]]
    if isinstance(form, dict) and form and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(form)))
        return {**form, name: _changed(form[name], data)}
    if isinstance(form, dict) and "$hf" in form and data.draw(st.booleans()):
        return {**form, "$hf": data.draw(st.sampled_from(_TAGS))}
    part = data.draw(st.sampled_from(_PARTS))
    return data.draw(
        st.sampled_from(
            (
                part,
                [form, form],
                {"$hf": data.draw(st.sampled_from(_TAGS)), "v": form},
                {"$hf": "dict", "v": [[form, part]]},
                {"$hf": "dict", "v": [[part, form], [form, 1]]},
                {"$hf": "set", "v": [form, part]},
                {"$hf": "tuple", "v": [form], "more": 1},
            )
        )
    )
