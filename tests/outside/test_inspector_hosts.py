"""The inspector's page of the hosts that share a store, in a real browser."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import postgres
from tests.harness.browser import Page, chromium
from tests.harness.host import HostProcess
from tests.harness.inspected import show, text_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="`make apt` installs chromium"),
]

WAIT_S = 60.0
STATES = "[...document.querySelectorAll('tbody .badge')].map((each) => each.innerText).sort()"
TEACHES = text_of(".empty .title")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "chromium") as browser:
        yield browser.open("about:blank")


def numbers(page: Page) -> Any:
    """What the tiles say, below their first."""
    return page.run("[...document.querySelectorAll('.facts dd')].slice(1).map((each) => each.innerText)")


def test_who_serves_stands_by_and_falls_silent_is_seen_as_it_happens(tmp_path: Path, page: Page) -> None:
    options = (*postgres.store_options(), "--cluster-key-file", str(tmp_path / "key"), "--workers", "1")
    second = HostProcess(tmp_path / "second", *options)
    with HostProcess(tmp_path / "first", *options) as first:
        show(page, first, "hosts")
        page.until(STATES, ["this one", "up"])
        page.until(TEACHES, "Nobody stands by")
        assert numbers(page) == ["1", "0", "256"]
        second.launch()
        try:
            ends_at = time.monotonic() + WAIT_S
            while "ready to follow" not in second.log:
                assert second.is_running, second.log
                assert time.monotonic() < ends_at, second.log
                time.sleep(0.02)
            page.until(STATES, ["standby", "this one", "up"])
            page.until(f"{TEACHES} === undefined")
            assert numbers(page) == ["1", "1", "256"]
        finally:
            second.kill_all()
        page.until(STATES, ["silent", "this one", "up"])


def test_a_host_on_files_says_that_it_is_alone(tmp_path: Path, page: Page) -> None:
    with HostProcess(tmp_path / "data", "--workers", "1") as host:
        show(page, host, "hosts")
        page.until(TEACHES, "This host keeps its own files")
        assert page.run(text_of(".facts dd")) == "files of this host"


def test_the_page_that_is_shown_is_seen_in_the_list_of_pages_of_a_phone(tmp_path: Path, page: Page) -> None:
    page.look("light", 360)
    with HostProcess(tmp_path / "data", "--workers", "1") as host:
        show(page, host, "hosts")
        ends = page.run("document.querySelector('#nav [aria-current]').getBoundingClientRect().right")
        assert page.run("innerWidth") <= 360
        assert ends <= 360
