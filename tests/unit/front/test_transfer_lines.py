"""Lines of an import that no export has are refused by their number, before a worker sees anything of them."""

from __future__ import annotations

import json

import pytest

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.limits import Limits
from holdfast_host.front.routes.transfer_lines import ImportLines

HEAD = b'{"holdfast_export":1,"type":"Probe"}\n'
ALARM = {"due": 2e9, "scheduled": 2e9, "state": "retrying", "retry_count": 1}


@pytest.fixture
def lines() -> ImportLines:
    reader = ImportLines("Probe", Limits())
    reader.feed(HEAD)
    return reader


@pytest.mark.parametrize("raw", ["5", "null", "[]", '"\\ud800"'])
def test_a_raw_value_that_is_no_text_is_refused_by_its_line(lines: ImportLines, raw: str) -> None:
    with pytest.raises(BadRequestError, match="line 2 of the import has a raw value that is no text"):
        lines.feed(f'{{"key":"a","raw":{raw}}}\n'.encode())


def test_a_job_is_refused_where_it_is_nested_deeper_than_any_could_be_made(lines: ImportLines) -> None:
    # Where the front's stack is shallower than the worker's, such a line would have ended the worker.
    deep = f'{{"job":{{"kind":"run","payload":{"[" * 960}{"]" * 960}}}}}\n'

    with pytest.raises(BadRequestError, match="line 2 of the import is nested deeper than 100"):
        lines.feed(deep.encode())


def test_an_alarm_brings_no_more_of_its_error_than_a_worker_keeps(lines: ImportLines) -> None:
    lines.feed(json.dumps({"alarm": {**ALARM, "last_error": "x" * 2_000_000}}).encode() + b"\n")

    assert lines.alarm is not None
    assert len(lines.alarm["last_error"]) == 1_000
