"""Encoded values as the host shows them: it reads, refuses and shows them as the SDK does."""

from __future__ import annotations

import pytest

from holdfast import CodecError as GuestCodecError
from holdfast._codec import decode, encode_plain
from holdfast_host.core.errors import CodecError
from holdfast_host.core.values import check_encoded, plain_text

WELL_FORMED = [
    "1",
    '"text"',
    '{"a":[null,true,1.5]}',
    '{"$hf":"bytes","v":"AP8="}',
    '{"$hf":"datetime","v":"2026-11-01T12:00:00+00:00"}',
    '{"$hf":"datetime","v":"2026-07-01T12:00:00+02:00[Europe/Berlin]"}',
    '{"$hf":"datetime","v":"2026-07-01T12:00:00+02:00[Mars/Base]"}',
    '{"$hf":"date","v":"2026-11-01"}',
    '{"$hf":"time","v":"12:30:00+05:30"}',
    '{"$hf":"timedelta","v":[-1,86399,999999]}',
    '{"$hf":"decimal","v":"1E+3"}',
    '{"$hf":"decimal","v":"-Infinity"}',
    '{"$hf":"uuid","v":"00000000-0000-0000-0000-0000000000ff"}',
    '{"$hf":"set","v":[1,2]}',
    '{"$hf":"set","v":[1,{"$hf":"date","v":"2026-11-01"}]}',
    '{"$hf":"frozenset","v":[{"$hf":"tuple","v":[]}]}',
    '{"$hf":"float","v":"nan"}',
    '{"$hf":"dict","v":[["$hf",1],[{"$hf":"date","v":"2026-11-01"},2],[null,3]]}',
]
BROKEN = [
    "NaN",
    "{",
    '{"$hf":"never","v":1}',
    '{"$hf":"date"}',
    '{"$hf":"date","v":"2026-11-01","x":1}',
    '{"$hf":"bytes","v":"*"}',
    '{"$hf":"datetime","v":"yesterday"}',
    '{"$hf":"timedelta","v":[1.5,0,0]}',
    '{"$hf":"timedelta","v":[0,-1,0]}',
    '{"$hf":"timedelta","v":[0,0,1000000]}',
    '{"$hf":"timedelta","v":[99999999999,0,0]}',
    '{"$hf":"int","v":"0x1f"}',
    '{"$hf":"int","v":"1F"}',
    '{"$hf":"decimal","v":"1_000"}',
    '{"$hf":"decimal","v":" 1"}',
    '{"$hf":"decimal","v":"one"}',
    '{"$hf":"float","v":"1"}',
    '{"$hf":"dict","v":[[1]]}',
]


@pytest.mark.parametrize("text", WELL_FORMED)
def test_plain_text_is_the_same_from_the_host_and_from_the_sdk(text: str) -> None:
    assert plain_text(text) == encode_plain(decode(text))
    assert check_encoded(text) == text


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_encoded_value_is_one_to_neither(text: str) -> None:
    with pytest.raises(CodecError):
        check_encoded(text)
    with pytest.raises(GuestCodecError):
        decode(text)


def test_two_keys_that_are_one_in_plain_json_are_never_merged() -> None:
    text = '{"$hf":"dict","v":[[1,"int"],["1","text"]]}'

    with pytest.raises(CodecError, match="two keys are '1' in plain JSON"):
        plain_text(text)
    with pytest.raises(GuestCodecError, match="two keys that are '1'"):
        encode_plain(decode(text))
