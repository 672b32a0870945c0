"""What the command line makes of an export's lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast_host.cli.exports import ascii_json
from holdfast_host.cli.output import CommandFailedError
from holdfast_host.cli.parquet import write_parquet


@pytest.mark.parametrize("line", ['{"key":"a","value":[1,\t2]}', '{"key":"\x7f\u009b31m","value":"\u00e9\U0001f600"}'])
def test_a_line_in_ascii_is_the_same_json_without_a_control_character(line: str) -> None:
    shown = ascii_json(line.encode())

    assert json.loads(shown) == json.loads(line)
    assert all(" " <= each <= "~" for each in shown)


def test_a_line_that_is_no_row_is_named_and_never_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="no row of an export"):
        write_parquet(tmp_path / "a.parquet", [b'{"name":1}'])
