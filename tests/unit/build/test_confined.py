"""Real builds: what a module does at its top to files and network, and packages that would like to have a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import build_project
from tests.unit.build import joint
from tests.unit.build.test_build import project

HANDLES = """
import glob, os, pathlib, select, socket, sys
from holdfast import StatefulActor

HERE = [os.path.join(each, "handles") for each in sys.path if os.path.exists(os.path.join(each, "handles"))][0]
SAID = []

def keep(make):
    try:
        return make()
    except OSError as error:
        SAID.append(str(error))

SOCKET = keep(socket.socket)
ADDRESS = keep(lambda: socket.getaddrinfo("example.com", 80))
WAITED = keep(lambda: select.select([], [], [], 0.01))
ENTRIES = os.scandir(HERE)
WALK = os.walk(HERE)
FOUND = next(WALK)[2]
GLOBBED = glob.glob(f"{HERE}/*.txt")
TEXT = pathlib.Path(HERE, "greeting.txt").read_text()
sys.__stdout__.write("said while it was built\\n")
sys.__stdout__.flush()

class Handles(StatefulActor):
    def kept(self):
        return [len(SAID), sorted(FOUND), len(GLOBBED), TEXT, sorted(each.name for each in ENTRIES)]

    def goes_on(self):
        said = []
        for again in (lambda: list(WALK), socket.socket, lambda: socket.getaddrinfo("example.com", 80)):
            try:
                again()
            except OSError as error:
                said.append(str(error))
        print("raw", file=sys.__stdout__)
        return said
"""

OPEN = """
from holdfast import StatefulActor

FILE = open("/1/greeting.txt")

class Trial(StatefulActor):
    pass
"""

PACKAGES = ("PyJWT", "anyio", "httpx", "requests", "urllib3")
CLIENTS = """
import anyio, httpx, jwt, requests, urllib3
from holdfast import StatefulActor

SESSION = requests.Session()
CLIENT = httpx.Client()

class Clients(StatefulActor):
    def requests(self):
        requests.get("https://example.com")

    def session(self):
        SESSION.get("http://example.com")

    def httpx(self):
        CLIENT.get("https://example.com")

    def urllib3(self):
        urllib3.PoolManager().request("GET", "https://example.com")

    def jwt(self):
        key = "secret" * 8
        return jwt.decode(jwt.encode({"a": 1}, key, algorithm="HS256"), key, algorithms=["HS256"])

    async def mocked(self):
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"path": request.url.path}))
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get("https://example.com/a")).json()

    async def connects(self):
        async with httpx.AsyncClient() as client:
            await client.get("https://example.com")

    def nursery(self):
        async def main():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 0)
            return "done"
        return anyio.run(main)
"""


@pytest.mark.slow
def test_no_handle_that_a_build_made_is_used_in_a_sandbox() -> None:
    sandbox = joint.sandbox("Handles")

    names = ["app.py", "greeting.txt"]
    assert sandbox.call("kept") == [3, names, 1, "hello", names]
    said = sandbox.call("goes_on")
    assert ["actors and functions have no network" in each for each in said[-2:]] == [True, True]
    assert sandbox.call("goes_on") == said


@pytest.mark.slow
@pytest.mark.builds
def test_a_file_that_is_still_open_when_the_build_ends_is_named(tmp_path: Path) -> None:
    directory = project(tmp_path / "p", OPEN)
    (directory / "src" / "greeting.txt").write_text("hello")

    with pytest.raises(BuildError, match=r"the file src/greeting\.txt is still open at the end of the build"):
        build_project(directory)


@pytest.mark.slow
def test_packages_that_speak_tls_import_and_refuse_to_connect() -> None:
    sandbox = joint.sandbox("Clients")

    for method in ("requests", "session", "httpx", "urllib3", "connects"):
        assert "actors and functions have no network" in sandbox.call(method)["message"], method
    assert sandbox.call("jwt") == {"a": 1}
    assert sandbox.call("mocked") == {"path": "/a"}
    assert sandbox.call("nursery") == "done"
