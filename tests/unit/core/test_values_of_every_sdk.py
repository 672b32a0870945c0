"""The values that every SDK must round-trip (`wit/values.json`): through the guest's codec, and through the host's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast import CodecError as GuestCodecError
from holdfast._values.codec import decode, encode, encode_plain
from holdfast._values.tags import CODEC_VERSION
from holdfast_host.core.errors import CodecError
from holdfast_host.core.values import check_encoded, plain_text
from tests.harness.values import shape

SET: Final = json.loads((Path(__file__).parents[3] / "wit" / "values.json").read_text())
WRITTEN: Final = (Path(__file__).parents[3] / "wit" / "storage.wit").read_text()


def told(entry: dict[str, str]) -> str:
    return entry.get("means", entry.get("why", ""))


@pytest.mark.parametrize("entry", SET["values"], ids=told)
def test_the_sdk_writes_each_value_as_it_may_come_back(entry: dict[str, Any]) -> None:
    value = decode(entry["text"])

    assert encode(value) == entry["back"][0]
    assert {encode(decode(text)) for text in entry["back"]} <= {*entry["back"]}
    assert json.loads(encode_plain(value)) == json.loads(entry["plain"])


@pytest.mark.parametrize("entry", SET["values"], ids=told)
def test_the_host_takes_and_shows_each_value_as_the_sdk_does(entry: dict[str, Any]) -> None:
    assert shape(decode(check_encoded(entry["text"]))) == shape(decode(entry["text"]))
    assert {check_encoded(text) for text in entry["back"]} <= {*entry["back"]}
    assert plain_text(entry["text"]) == entry["plain"]


@pytest.mark.parametrize("entry", SET["refused"], ids=told)
def test_what_no_reader_takes_is_refused_by_both(entry: dict[str, Any]) -> None:
    with pytest.raises(GuestCodecError):
        decode(entry["text"])
    for read in (check_encoded, plain_text):
        with pytest.raises(CodecError):
            read(entry["text"])


def test_the_set_is_of_this_version_and_has_every_tag() -> None:
    texts = "".join(entry["text"] for entry in SET["values"])
    rows = re.findall(r"^/// \| (`[a-z]+`(?:, `[a-z]+`)?) \|", WRITTEN, re.MULTILINE)

    assert SET["encoding"] == CODEC_VERSION
    assert set(re.findall('"\\$hf":"([a-z]+)"', texts)) == set(re.findall("`([a-z]+)`", "".join(rows)))
