"""An answer that streams to a topic while workers, courier, front and host die: its readers have every token once."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.crash.test_jobs import GRANTS, JOBS, until
from tests.harness import components
from tests.harness.deploying import deploy, next_version
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command
from tests.harness.outside import Given, OutsideServer, outside_server
from tests.harness.repeats import repeats

NAME = "s"
PACE_S = 0.005  # between two tokens of the model
STEPS = (
    "when it was sent",
    "when it is answered",
    "before then runs",  # or a piece's turn
    "before a piece is durable",
    "when a piece is durable",
)

KILLS = repeats(4, 30)


class Model:
    """Streams numbered tokens until it is told to end; `sent` says how many each of its answers had."""

    def __init__(self, server: OutsideServer) -> None:
        self.server = server
        self.sent: list[int] = []
        self.ends = threading.Event()
        server.answers["/model"] = Given(200, {"Content-Type": "text/event-stream"}, pieces=self._tokens)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"{self.server.url}/model"

    def _tokens(self) -> Generator[bytes, None, None]:
        number = len(self.sent)
        self.sent.append(0)
        while not self.ends.is_set():
            yield b"data: %d\n\n" % self.sent[number]
            self.sent[number] += 1
            time.sleep(PACE_S)


class Reader:
    """Follows the topic as a browser does: where its connection ends it comes again, with the last id that it has."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[str, str]] = []
        self.connections = 0
        self._url = urlsplit(url)
        self._last_id = "0"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the topic has said that the answer is over."""
        return self._over.is_set()

    def stop(self) -> None:
        """Come again no more; the host must be gone, or the answer over."""
        self._over.set()
        self._thread.join(10)

    def _follow(self) -> None:
        while not self._over.is_set():
            with suppress(OSError, http.client.HTTPException):
                self._read()

    def _read(self) -> None:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=20)
        try:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": self._last_id}
            connection.request("GET", f"/v1/actors/Scribe/{NAME}/", headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                return
            self.connections += 1
            fields: dict[str, str] = {}
            while line := answer.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                if "data" in fields:
                    self._last_id = fields["id"]
                    self.events.append((fields.get("event", "message"), fields["data"]))
                    if fields.get("event") == "over":
                        self._over.set()
                        return
                fields = {}
        finally:
            connection.close()


class Stage:
    """A host with a scribe that follows a model, and a reader of what it publishes."""

    def __init__(self, host: HostProcess, model: Model, step: Path) -> None:
        self.host = host
        self.model = model
        self.reader = Reader(host.url)
        self._step = step
        with host.caller() as caller:
            caller.value("Scribe", NAME, "ask", model.url)
        self.go_on()

    def go_on(self) -> None:
        """Return when the reader has more than it had."""
        had = len(self.reader.events)
        until(lambda: len(self.reader.events) > had + 3)

    def die_at(self, step: str) -> None:
        """The worker dies there, and another one goes on."""
        self._step.write_text(step)
        until(lambda: not self._step.exists())

    def kill(self, what: str) -> None:
        """A process dies, once there is one; return when the reader has more."""
        until(lambda: self.host.pids().get(what))
        asked = len(self.model.sent)
        self.host.kill(what)
        if what == "courier":
            until(lambda: len(self.model.sent) > asked)
        self.go_on()

    def finish(self) -> list[tuple[str, str]]:
        """What the reader had when the model has ended."""
        self.model.ends.set()
        until(lambda: self.reader.is_over)
        return self.reader.events


@contextmanager
def following(folder: Path, *mutations: str) -> Iterator[Stage]:
    """A host that streams, of one worker."""
    step = folder / "step"
    program = command(f"die_at_a_step_of_calls={step}", *mutations)
    grants = (*GRANTS, "--outbound-private", "127.0.0.1")
    host = HostProcess(folder / "data", "--workers", "1", *grants, command=program)
    with outside_server() as server:
        host.start()
        model = Model(server)
        stage: Stage | None = None
        try:
            deploy(host, components.built(JOBS))
            stage = Stage(host, model, step)
            yield stage
        finally:
            model.ends.set()
            host.kill_all()
            if stage is not None:
                stage.reader.stop()


def tokens_of(events: list[tuple[str, str]]) -> list[list[int]]:
    """The tokens of each answer, in the order in which they were read; the last event is `over`."""
    found: list[list[int]] = [[]]
    for event, data in events[:-1]:
        if event == "again":
            found.append([])
        else:
            assert event == "message", events
            found[-1].append(int(data))
    assert events[-1][0] == "over"
    return found


def over(events: list[tuple[str, str]]) -> dict[str, Any]:
    """What `then` was told."""
    found: dict[str, Any] = json.loads(events[-1][1])
    return found


@pytest.mark.slow
def test_a_worker_that_dies_at_any_step_of_a_piece_loses_no_token_and_asks_nothing_again(tmp_path: Path) -> None:
    with following(tmp_path) as stage:
        for step in STEPS:
            stage.die_at(step)
            stage.go_on()
        events = stage.finish()

        assert tokens_of(events) == [list(range(stage.model.sent[0]))]
        assert over(events) == {"tries": 1, "events": stage.model.sent[0]}
        assert len(stage.model.server.asked) == 1


def test_deploys_evictions_other_turns_and_a_fronts_death_lose_no_token(tmp_path: Path) -> None:
    with following(tmp_path) as stage:
        host = stage.host
        deploy(host, next_version(components.built(JOBS), tmp_path))
        stage.go_on()
        with host.caller() as caller:
            assert caller.request("POST", f"/v1/instances/Scribe/{NAME}/evict").status == 200
            for number in range(20):
                assert caller.value("Scribe", NAME, "count") == number + 1
        stage.go_on()
        host.kill("front")
        stage.go_on()
        events = stage.finish()

        assert stage.reader.connections > 1
        assert tokens_of(events) == [list(range(stage.model.sent[0]))]
        assert len(stage.model.server.asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", ["courier", "host"])
def test_where_the_answer_itself_is_lost_it_is_asked_for_again_and_its_readers_are_told(
    tmp_path: Path, what: str
) -> None:
    with following(tmp_path) as stage:
        if what == "courier":
            stage.host.kill("courier")
        else:
            stage.host.kill_all()
            stage.host.restart()
        until(lambda: len(stage.model.sent) == 2)
        stage.go_on()
        events = stage.finish()

        first, second = tokens_of(events)
        assert first == list(range(len(first)))
        assert second == list(range(stage.model.sent[1]))
        keys = {each.headers["idempotency-key"] for each in stage.model.server.asked}
        assert (len(stage.model.server.asked), len(keys), over(events)["tries"]) == (2, 1, 2)


@pytest.mark.slow
@pytest.mark.repeats
def test_kills_at_random_cost_answers_only_where_the_courier_dies_and_never_a_token(tmp_path: Path) -> None:
    chance = random.Random(1)
    killed = [chance.choice(("worker", "front")) for _ in range(KILLS)]
    killed[1] = killed[-1] = "courier"  # a third one would be waited for 16 s
    with following(tmp_path) as stage:
        for what in killed:
            time.sleep(chance.uniform(0.0, 0.2))
            stage.kill(what)
        events = stage.finish()

        *lost, whole = tokens_of(events)
        assert [answer == list(range(len(answer))) for answer in lost] == [True] * killed.count("courier")
        assert whole == list(range(stage.model.sent[-1]))
        assert len(stage.model.sent) == killed.count("courier") + 1


def test_where_the_row_does_not_say_what_is_published_tokens_come_twice(tmp_path: Path) -> None:
    def published_twice(stage: Stage) -> Callable[[], bool]:
        return lambda: len({data for _, data in stage.reader.events}) < len(stage.reader.events)

    with following(tmp_path, "note_no_pieces") as stage:
        until(published_twice(stage))


def test_where_a_piece_is_given_back_before_it_is_durable_a_death_costs_the_answer(tmp_path: Path) -> None:
    with following(tmp_path, "ask_for_the_next_piece_before_one_is_durable") as stage:
        stage.die_at("before a piece is durable")
        until(lambda: len(stage.model.sent) == 2)
        events = stage.finish()

        assert len(tokens_of(events)) == 2
