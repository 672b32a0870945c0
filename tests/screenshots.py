"""`make screenshots`: a picture of every page of the inspector, in both schemes on two screens.

They are in build/screenshots. It also says how long the overview takes until it can be used: from the begin of the
navigation to the first numbers, the middle of some loads of a tab that has it already.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
from pathlib import Path

from tests.harness.browser import Browser, chromium
from tests.harness.host import PROJECT, HostProcess
from tests.harness.inspected import PAGES, inspected, show

FOLDER = PROJECT / "build" / "screenshots"
SCREENS = {"desk": (1280, 860), "phone": (360, 740)}
LOADS = 9
INTERACTIVE = "(performance.getEntriesByName('interactive')[0]?.startTime ?? 0)"


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        place = Path(folder)
        with inspected(place / "data") as host, chromium(place / "chromium") as browser:
            print(f"the overview can be used after {interactive_ms(browser, host):.0f} ms")
            stopping = threading.Event()
            calling = threading.Thread(target=keep_calling, args=(host, stopping))
            calling.start()
            try:
                for scheme in ("light", "dark"):
                    for screen, (width, height) in SCREENS.items():
                        take(browser, host, scheme, screen, width, height)
            finally:
                stopping.set()
                calling.join()
    print(f"the pictures are in {FOLDER}")


def take(browser: Browser, host: HostProcess, scheme: str, screen: str, width: int, height: int) -> None:
    """Of each page."""
    page = browser.open("about:blank")
    page.look(scheme, width, height)
    for name, (where, ready) in PAGES.items():
        show(page, host, where)
        page.until(ready)
        if name == "overview":  # the lines need some moments to be drawn
            page.until("(document.querySelector('.line').getAttribute('d').match(/L/g) ?? []).length >= 8")
        page.await_value("document.fonts.ready.then(() => new Promise(requestAnimationFrame)).then(() => 1)")
        (FOLDER / f"{name}-{scheme}-{screen}.png").write_bytes(page.picture())
    page.close()


def interactive_ms(browser: Browser, host: HostProcess) -> float:
    """The middle of some loads."""
    page = browser.open("about:blank")
    times = []
    show(page, host, "")
    for _ in range(LOADS):
        page.reload()
        page.until(f"{INTERACTIVE} > 0")
        times.append(float(page.run(INTERACTIVE)))
    page.close()
    return statistics.median(times)


def keep_calling(host: HostProcess, stopping: threading.Event) -> None:
    """Calls of which some fail, so that the charts have something to show."""
    with host.caller() as caller:
        for number in range(1_000_000):
            if stopping.wait(0.002):
                return
            caller.call("Probe", f"user-{number % 40:04}", *("increment",) if number % 50 else ("raise_only",))


if __name__ == "__main__":
    main()
