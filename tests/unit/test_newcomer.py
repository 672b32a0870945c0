"""The page of the newcomer's way, against the command that writes it."""

from __future__ import annotations

import re

from tools import newcomer

from tests.harness.components import PROJECT


def test_the_page_shows_the_commands_that_make_newcomer_runs() -> None:
    shown = re.findall(
        r"^\| (?:\*\*.+?\*\*)? \| `(.+)` \|", (PROJECT / "docs" / "newcomer.md").read_text(), re.MULTILINE
    )
    run = [each for part in newcomer.PARTS.values() for each in part]

    assert [each.replace("\\|", "|") for each in shown] == run
    assert newcomer.table({}).startswith("| | command | takes | by then |")
