"""The account by hand and the actor, side by side on a page: what is shown are the lines of the files."""

from __future__ import annotations

import re

from tests.harness.components import ACCOUNT, PROJECT
from tests.harness.hand_rolled import SOURCE

PAGE = "docs/how-it-works.md"
IN_WORDS = "ctx.storage"  # code in the third column that stands in a sentence


def rows(page: str) -> list[list[str]]:
    """The rows of the table below the names of both files."""
    lines = (PROJECT / page).read_text().splitlines()
    [head] = [number for number, line in enumerate(lines) if line.startswith("| | by hand: ")]
    found: list[list[str]] = []
    for line in lines[head + 2 :]:
        if not line.startswith("|"):
            return found
        found.append([cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def lines_of(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines()}


def test_each_line_that_the_page_shows_is_a_line_of_its_file() -> None:
    by_hand, actor = lines_of(SOURCE.read_text()), lines_of((ACCOUNT / "src" / "app.py").read_text())
    shown_by_hand = [code for row in rows(PAGE) for code in re.findall(r"`([^`]+)`", row[1])]
    shown_here = [code for row in rows(PAGE) for code in re.findall(r"`([^`]+)`", row[2]) if code != IN_WORDS]

    assert len(shown_by_hand) > len(shown_here) > 4
    assert [code for code in shown_by_hand if code not in by_hand] == []
    assert [code for code in shown_here if code not in actor] == []


def test_nothing_that_a_debit_needs_by_hand_is_left_out() -> None:
    shown = " ".join(row[1] for row in rows(PAGE))

    for each in ("pthread_mutex_lock", "pthread_mutex_unlock", "fdatasync", "set_balance", "ftruncate", "find("):
        assert each in shown
