"""What a front reads when a worker dies at the worst moment, before a real host; and what clients see without each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command
from tests.outside.test_sockets import CHAT, PATIENCE_S, Chat

# What a client hears, and by which code it is closed at the end: 1000 where it had to close itself.
Heard = tuple[list[str], int]

pytestmark = pytest.mark.slow


class Deaths:
    """A host whose worker dies when it is told to, with one client in each room."""

    def __init__(self, folder: Path, host: HostProcess) -> None:
        self._folder = folder
        self._chat = Chat(host)
        deploy(host, components.built(CHAT))

    def before_its_messages_leave(self) -> Heard:
        """A turn's commit is durable, and what it has sent is not on its way yet."""
        client = self._chat.open("lost", "ann")
        return self._dies_at("leaving", client, "hi")

    def behind_its_messages(self) -> Heard:
        """A turn has written nothing, what it has sent has come, and its end is not said."""
        client = self._chat.open("relayed", "ann")
        return self._dies_at("left", client, "pass on this")

    def behind_what_it_has_synced(self) -> Heard:
        """A turn has let out what it had written, and goes on."""
        client = self._chat.open("unknown", "ann")
        client.send("linger")
        with self._chat.host.caller() as caller:
            self._chat.until(lambda: caller.request("GET", "/v1/instances/Room/unknown/storage/n").status == 200)
        self._chat.host.kill("worker")
        return _rest(client)

    def end(self) -> None:
        self._chat.end()

    def _dies_at(self, moment: str, client: ClientConnection, message: str) -> Heard:
        order = self._folder / moment
        order.touch()
        client.send(message)
        self._chat.until(lambda: not order.exists())
        return _rest(client)


def _rest(client: ClientConnection) -> Heard:
    """Everything up to the answer to a last message, where the client is not closed before."""
    heard: list[str] = []
    try:
        client.send("bye")
        while not heard or not heard[-1].endswith("bye"):
            heard.append(str(client.recv(PATIENCE_S)))
    except ConnectionClosed as closed:
        return heard, 1006 if closed.rcvd is None else closed.rcvd.code
    return heard, 1000


def _through(folder: Path, deaths: Sequence[Callable[[Deaths], Heard]], *without: str) -> list[Heard]:
    tools = (f"die_before_messages_leave={folder / 'leaving'}", f"die_behind_messages={folder / 'left'}")
    with HostProcess(folder / "data", command=command(*tools, *without)) as host:
        stage = Deaths(folder, host)
        seen = [death(stage) for death in deaths]
        stage.end()
        return seen


def test_a_socket_stays_through_a_death_only_where_it_has_missed_nothing(tmp_path: Path) -> None:
    deaths = [Deaths.before_its_messages_leave, Deaths.behind_its_messages, Deaths.behind_what_it_has_synced]

    assert _through(tmp_path, deaths) == [
        ([], 1012),
        (["passed on ann: pass on this", "1 ann: bye"], 1000),
        ([], 1012),
    ]


@pytest.mark.parametrize(
    ("without", "death", "seen"),
    [
        ("note_nothing_that_is_sent", Deaths.before_its_messages_leave, (["2 ann: bye"], 1000)),
        (
            "say_nothing_of_what_only_sent",
            Deaths.behind_its_messages,
            (["passed on ann: pass on this", "passed on ann: pass on this", "1 ann: bye"], 1000),
        ),
        ("take_the_unknown_for_heard", Deaths.behind_what_it_has_synced, (["2 ann: bye"], 1000)),
    ],
)
def test_without_its_evidence_it_misses_a_number_or_hears_one_twice(
    tmp_path: Path, without: str, death: Callable[[Deaths], Heard], seen: Heard
) -> None:
    assert _through(tmp_path, [death], without) == [seen]
