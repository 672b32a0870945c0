"""The chat example on a real host: its README from the command line, and its page in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.harness import components
from tests.harness.background import Clients
from tests.harness.browser import Browser, Page, chromium
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.components import EXAMPLES, shared_compiles
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess

CHAT = EXAMPLES / "chat"
SHOWN = "[...document.querySelectorAll('#messages li:not(.pending)')].map((line) => line.textContent)"
USERS = "document.querySelector('#users').textContent"
STATE = "document.querySelector('#state').textContent"
in_a_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="`make apt` installs chromium")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with the chat."""
    with HostProcess(tmp_path_factory.mktemp("chat") / "data") as host, host.caller() as caller:
        assert caller.request("PUT", "/v1/secrets/SESSION_KEY", '{"value": "of a test"}').status < 300
        deploy(host, components.built(CHAT))
        yield host


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def address_of(host: HostProcess) -> str:
    """Where the function's pages are: under a host name, else they have no origin."""
    return f"http://chat.localhost:{urlsplit(host.url).port}"


def come_in(browser: Browser, host: HostProcess, room: str, user: str) -> Page:
    """A page whose user has logged in as one does it by hand."""
    page = browser.open(f"{address_of(host)}/rooms/{room}")
    page.until("document.querySelector('[name=name]') !== null && document.readyState === 'complete'")
    page.run(f"document.querySelector('[name=name]').value = {json.dumps(user)}; document.forms[0].requestSubmit()")
    page.until(STATE, f"you are {user}")
    return page


def say(page: Page, text: str) -> None:
    page.run(f"document.querySelector('input').value = {json.dumps(text)}; document.forms[0].requestSubmit()")


class Program(Clients):
    """Says one number after the other in a room, and says it again until it is answered: each comes once or more."""

    def __init__(self, host: HostProcess, room: str) -> None:
        super().__init__(1)
        self._url = host.url
        self._room = room
        self.said = 0

    @property
    def answered(self) -> int:
        return self.said

    def be_client(self, number: int) -> None:
        with Caller(self._url) as caller:
            while not self.stopping.wait(0.01):
                path = f"/v1/actors/Room/{self._room}/say"
                try:
                    body = json.dumps({"user": "", "text": str(self.said + 1)})
                    answer = caller.request("POST", path, body, {"Idempotency-Key": f"{self._room}-{self.said + 1}"})
                except NoAnswerError:
                    continue
                self.said += answer.status == 200


@in_a_browser
def test_two_pages_hear_each_other_and_see_who_is_here(host: HostProcess, browser: Browser) -> None:
    ann, bob = (come_in(browser, host, "meeting", user) for user in ("ann", "Zoë"))
    ann.until(USERS, "Zoë, ann")
    say(ann, "hello <b>you</b>")
    say(bob, "hëllo")

    for page in (ann, bob):
        page.until(f"{SHOWN}.length", 2)
        assert sorted(page.run(SHOWN)) == ["Zoëhëllo", "annhello <b>you</b>"]
    bob.close()
    ann.until(USERS, "ann")


@in_a_browser
def test_a_page_that_is_loaded_again_shows_what_was_said(host: HostProcess, browser: Browser) -> None:
    ann = come_in(browser, host, "history", "ann")
    for number in range(3):
        say(ann, f"{number}")
    ann.until(SHOWN, ["ann0", "ann1", "ann2"])
    ann.reload()

    ann.until(SHOWN, ["ann0", "ann1", "ann2"])
    assert ann.run("document.querySelectorAll('.pending').length") == 0


@in_a_browser
def test_what_is_said_while_a_page_comes_back_is_heard_behind_what_waits(host: HostProcess, browser: Browser) -> None:
    ann = come_in(browser, host, "order", "ann")
    ann.run(
        """{
            const here = hear.here
            hear.here = (told) => { // its socket is open, and it has not been told who is here
                hear.here = here
                document.querySelector("input").value = "second"
                document.forms[0].requestSubmit()
                here(told)
            }
        }"""
    )
    ann.run("socket.close()")
    say(ann, "first")

    ann.until(SHOWN, ["annfirst", "annsecond"])


@in_a_browser
def test_a_page_shows_everything_once_whatever_breaks_its_connection(host: HostProcess, browser: Browser) -> None:
    ann, bob = (come_in(browser, host, "breaks", user) for user in ("ann", "bob"))
    with Program(host, "breaks") as program:
        for number, breaking in enumerate(("worker", "socket", "front", "socket", "worker", "socket")):
            say(bob, f"before {number}")
            if breaking == "socket":
                ann.run("socket.close()")
                bob.run("socket.close()")
            else:
                host.kill(breaking)
            say(bob, f"after {number}")
            program.wait_for(5)
    everything = [f"{number}" for number in range(1, program.said + 1)]
    own = [f"bob{when} {number}" for number in range(6) for when in ("before", "after")]

    for page in (ann, bob):
        page.until(f"{SHOWN}.length", len(everything) + len(own))
        shown = page.run(SHOWN)
        assert [each for each in shown if each.isdigit()] == everything
        assert [each for each in shown if not each.isdigit()] == own
    assert program.said >= 30


def test_only_pages_of_its_own_and_those_who_are_logged_in_get_a_socket(host: HostProcess) -> None:
    answer = httpx.post(f"{host.url}/rooms/lobby", data={"name": "ann"}, headers={"host": "chat.localhost"})
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    port = urlsplit(host.url).port

    def ask(origin: str, headers: dict[str, str]) -> ClientConnection:
        link = socket.create_connection(("127.0.0.1", port))  # not every resolver knows names below localhost
        room = f"ws://chat.localhost:{port}/rooms/lobby"
        return connect(room, sock=link, origin=Origin(origin), additional_headers=headers)

    for origin, headers, status in (("https://evil.example", cookie, 403), (address_of(host), {}, 401)):
        with pytest.raises(InvalidStatus) as refused:
            ask(origin, headers)
        assert refused.value.response.status_code == status
    with ask(address_of(host), cookie) as client:
        assert json.loads(client.recv(30))["event"] == "here"


def test_the_chat_example_prints_what_its_readme_says(tmp_path: Path) -> None:
    [script] = re.findall(r"```bash\n(.*?)```", (CHAT / "README.md").read_text(), re.DOTALL)
    shutil.copytree(CHAT, tmp_path / "examples" / "chat")
    with HostProcess(tmp_path / "data") as host:
        path = f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "HOLDFAST_HOST": host.url}
        script = script.replace(":8787", f":{urlsplit(host.url).port}")
        with shared_compiles(host.data):
            done = subprocess.run(
                ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )

    assert done.returncode == 0, done.stderr
    said, users, events = done.stdout[done.stdout.index("\n1") + 1 :].partition("[]")
    assert (said, users) == ("1", "[]")
    assert re.findall("^(?:event|data): (.*)$", events, re.MULTILINE) == [
        "said",
        '{"user":"a program","text":"hello"}',
        '{"event": "here", "data": "{\\"you\\": \\"ann\\", \\"users\\": [\\"ann\\"]}"}',
    ]
