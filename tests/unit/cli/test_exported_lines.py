"""What the command line makes of an export's lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table

from holdfast_host.cli.commands import export
from holdfast_host.cli.exports import ascii_json
from holdfast_host.cli.output import CommandFailedError
from holdfast_host.cli.parquet import write_parquet
from holdfast_host.core.durable_files import written_alone


@pytest.mark.parametrize("line", ['{"key":"a","value":[1,\t2]}', '{"key":"\x7f\u009b31m","value":"\u00e9\U0001f600"}'])
def test_a_line_in_ascii_is_the_same_json_without_a_control_character(line: str) -> None:
    shown = ascii_json(line.encode())

    assert json.loads(shown) == json.loads(line)
    assert all(" " <= each <= "~" for each in shown)


def test_a_line_that_is_no_row_is_named_and_never_a_traceback(tmp_path: Path) -> None:
    with (tmp_path / "a.parquet").open("wb") as file, pytest.raises(CommandFailedError, match="no row of an export"):
        write_parquet(file, [b'{"name":1}'])


class Lines:
    """An export of one row."""

    def rows(self) -> Iterator[bytes]:
        yield b'{"name":"a","key":"k","value":[1, 2]}'


@pytest.mark.parametrize("kind", ["ndjson", "parquet"])
def test_an_exported_file_is_its_owners_alone_and_whole_whatever_an_earlier_one_left(kind: str, tmp_path: Path) -> None:
    output, draft = tmp_path / "a", tmp_path / "a.part"
    draft.touch(mode=0o600)
    draft.write_bytes(b"left by one that was killed" * 1_000)
    lines: Any = Lines()

    export._write(output, lines, kind, whole=False)

    assert output.stat().st_mode & 0o777 == 0o600
    assert not draft.exists()
    if kind == "parquet":
        assert read_table(output).to_pylist() == [{"name": "a", "key": "k", "value": "[1, 2]", "raw": None}]
    else:
        assert output.read_bytes() == b'{"name":"a","key":"k","value":[1, 2]}\n'


def test_two_exports_into_one_file_do_not_mix(tmp_path: Path) -> None:
    lines: Any = Lines()
    with (
        written_alone(tmp_path / "a.part"),
        pytest.raises(CommandFailedError, match="Another export into"),
    ):
        export._write(tmp_path / "a", lines, "ndjson", whole=False)

    assert (tmp_path / "a.part").exists()
