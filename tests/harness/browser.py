"""A headless Chromium that tests drive by its DevTools protocol: pages of different users, and what they show."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 30.0
PHONE_WIDTH = 500
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """One that keeps what it keeps in that folder."""
    quiet = subprocess.DEVNULL
    command = ["chromium", *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process, ExitStack() as links:
        links.callback(process.kill)
        yield Browser(*_address(folder / "DevToolsActivePort"), links)


class Browser:
    """A browser. Its pages end with it. For one thread."""

    def __init__(self, address: str, path: str, links: ExitStack) -> None:
        self._address = address
        self._links = links
        self._link = Link(links.enter_context(connect(address + path)))

    def open(self, url: str) -> Page:
        """A page of a user of its own: no other page's cookies are there."""
        user = self._link.ask("Target.createBrowserContext")["browserContextId"]
        target = self._link.ask("Target.createTarget", url=url, browserContextId=user)["targetId"]
        link = connect(f"{self._address}/devtools/page/{target}")
        return Page(Link(self._links.enter_context(link)))


class BrowserError(Exception):
    """The browser does not do what it is asked for."""


class Link:
    """Questions to the browser, one after the other; what it says unasked is not heard."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0

    def ask(self, method: str, **parameters: Any) -> Any:
        """What it answers."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (said := json.loads(self._connection.recv(PATIENCE_S))).get("id") != self._number:
            pass
        if "error" in said:
            raise BrowserError(f"{method}: {said['error']}")
        return said["result"]


class Page:
    """One page."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, script: str) -> Any:
        """The value of a script in the page; None where it fails, as one does whose page is being left."""
        try:
            answer = self._link.ask("Runtime.evaluate", expression=script, returnByValue=True)
        except BrowserError:  # there is no page just now
            return None
        return None if "exceptionDetails" in answer else answer["result"].get("value")

    def result(self, script: str) -> Any:
        """What the promise of a script comes to; a failed one fails the test."""
        answer = self._link.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, expected: Any = True) -> None:
        """Return when the script says that."""
        ends_at = time.monotonic() + PATIENCE_S
        while (found := self.run(script)) != expected:
            assert time.monotonic() < ends_at, f"{script}: {found!r} instead of {expected!r}"
            time.sleep(0.02)

    def reload(self) -> None:
        """Load it anew."""
        self.run("window.left = true")
        self._link.ask("Page.reload")
        self.until("window.left === undefined && document.readyState === 'complete'")

    def go(self, url: str) -> None:
        """Load another page, or go to another place of this one."""
        failed = self._link.ask("Page.navigate", url=url).get("errorText")
        assert failed is None, f"{url}: {failed}"

    def look(self, scheme: str, width: int, height: int = 800) -> None:
        """Be shown to somebody who likes that scheme, `light` or `dark`, on a screen of that size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONE_WIDTH}
        self._link.ask("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._link.ask("Emulation.setEmulatedMedia", features=[feature])

    def await_value(self, script: str) -> Any:
        """The value that a script in the page promises; an assertion where it fails."""
        answer = self._link.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, as `Tab` or `Enter`."""
        text = {"text": "\r"} if key == "Enter" else {}
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 if shift else 0}
        self._link.ask("Input.dispatchKeyEvent", type="keyDown", **facts, **text)
        self._link.ask("Input.dispatchKeyEvent", type="keyUp", **facts)

    def picture(self) -> bytes:
        """What is on the screen, as PNG."""
        return base64.b64decode(self._link.ask("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Close it."""
        try:
            self._link.ask("Page.close")
        except ConnectionClosed:  # it may be gone before it has answered
            return


def _address(file: Path) -> tuple[str, str]:
    """Where the browser listens, and its own path there, once it has said so."""
    ends_at = time.monotonic() + PATIENCE_S
    while not file.exists() or len(lines := file.read_text().splitlines()) < 2:
        assert time.monotonic() < ends_at, "chromium does not start"
        time.sleep(0.02)
    return f"ws://127.0.0.1:{lines[0]}", lines[1]
