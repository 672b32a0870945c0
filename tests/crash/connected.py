"""Clients with sockets, calls under keys and jobs, each of which has a name; and how often a hall may have noted it.

What was acknowledged is there once, what was not once or never, and what follows of it as often: a close of each socket
that was opened, a run, a call and an answer of all that was left to be done. A socket that is open gets every number
of its hall, one after the other, and what it had passed on in order; it may be closed at any time, and then says so.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.harness.background import Clients
from tests.harness.caller import Caller, NoAnswerError

HALLS: Final = [f"hall-{number}" for number in range(4)]
CLIENTS: Final = 4
SILENT_S: Final = 60.0  # of a socket that is neither closed nor heard of
JOBS_S: Final = 150.0  # one whose tries were killed again and again waits 64 s for its next one
CLOSES_S: Final = 30.0  # one whose handler was killed again and again waits 16 s for its next try
FOLLOWS: Final = {"closed": "opened", "run": "left", "told": "left"}  # what is noted as often, in the same hall
Notes = dict[str, dict[str, int]]


@dataclass
class Known:
    """What the clients know of one hall: names by kind. `maybe` are those that were sent and not acknowledged."""

    sure: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    maybe: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def faults(self, hall: str, before: dict[str, set[str]], notes: Notes) -> Iterator[str]:
        """What is wrong with notes that were taken after `before` was sure."""
        for kind, counts in notes.items():
            yield from (f"{hall}: {count} times {kind} {what}" for what, count in counts.items() if count != 1)
            if kind in {"opened", "heard", "kept", "left"}:
                strange = counts.keys() - self.sure[kind] - self.maybe[kind]
                yield from (f"{hall}: {kind} {what}, which nobody has sent" for what in strange)
        for kind, names in before.items():
            yield from (f"{hall}: not {kind} {what}" for what in names - notes.get(kind, {}).keys())


class Connected(Clients):
    """Clients that connect, say, ask and leave something to be done, all the time, across deaths and restarts."""

    def __init__(self, url: str, seed: int, clients: int = CLIENTS) -> None:
        super().__init__(clients)
        self.counts: Counter[str] = Counter()
        self._url = url
        self._seed = seed
        self._known = {hall: Known() for hall in HALLS}
        self._lock = threading.Lock()

    @property
    def answered(self) -> int:
        return self.counts.total()

    def be_client(self, number: int) -> None:
        """Do one thing after the other, and now and then look whether all that is known is there."""
        chance = random.Random(f"{self._seed} {number}")
        serial = 0
        with Caller(self._url) as caller:
            while not self.stopping.wait(0.002) and not self.faults:
                serial += 1
                what, hall = f"{number}-{serial}", chance.choice(HALLS)
                kind = chance.random()
                if kind < 0.5:
                    Visit(self, hall, what, chance).make(self._url)
                elif kind < 0.7:
                    self._keep(caller, hall, what)
                elif kind < 0.95:
                    self._leave(caller, hall, what, chance.choice(HALLS))
                else:
                    self._look(caller, hall)

    def note(self, hall: str, kind: str, what: str, *, sure: bool) -> None:
        """It was sent, or acknowledged."""
        with self._lock:
            (self._known[hall].sure if sure else self._known[hall].maybe)[kind].add(what)
            self.counts[kind] += sure

    def look_at_all(self) -> list[str]:
        """After the end: once nothing is under way any more, what every hall has noted; all faults."""
        with Caller(self._url) as caller:
            jobs = self._wait(partial(self._jobs, caller), JOBS_S)
            self._wait(partial(self._open, caller), CLOSES_S)
            notes = {hall: self._look(caller, hall) or {} for hall in HALLS}
        if jobs:
            self.faults.append(f"jobs after {JOBS_S} s: {jobs}")
        for hall, found in notes.items():
            self.counts["closed"] += len(found.get("closed", {}))
            for following, kind in FOLLOWS.items():
                if differ := found.get(following, {}).items() ^ found.get(kind, {}).items():
                    self.faults.append(f"{hall}: {kind} and {following} differ in {sorted(differ)[:5]}")
            self._look_for_gaps(hall, found.get("heard", {}))
        taken, left = (Counter(name for each in notes.values() for name in each.get(k, ())) for k in ("taken", "left"))
        if taken != left:
            self.faults.append(f"left and taken differ in {sorted((taken - left) + (left - taken))[:5]}")
        return self.faults

    def _keep(self, caller: Caller, hall: str, what: str) -> None:
        """Call under a key until it is answered: it has one effect, and the answer is that of the first."""
        self.note(hall, "kept", what, sure=False)
        path, body = f"/v1/actors/Hall/{hall}/keep", json.dumps([what])
        while not self.stopping.is_set():
            try:
                answer = caller.request("POST", path, body, {"Idempotency-Key": what})
            except NoAnswerError:
                time.sleep(0.02)
                continue
            if answer.status == 200:
                self.note(hall, "kept", what, sure=True)
                if answer.value != 1:
                    self.faults.append(f"{hall}: {what} was kept {answer.value} times")
                return
            time.sleep(0.02)

    def _leave(self, caller: Caller, hall: str, what: str, to: str) -> None:
        self.note(hall, "left", what, sure=False)
        try:
            answer = caller.call("Hall", hall, "leave", what, to)
        except NoAnswerError:
            time.sleep(0.02)
            return
        if answer.status == 200:
            self.note(hall, "left", what, sure=True)
        elif answer.error not in {"HostUnavailableError", "ActorOutputGateError"}:
            self.faults.append(f"{hall}: leave was answered {answer.status} {answer.text[:200]}")

    def _look(self, caller: Caller, hall: str) -> Notes | None:
        known = self._known[hall]
        with self._lock:
            before = {kind: {*names} for kind, names in known.sure.items()}
        try:
            answer = caller.call("Hall", hall, "notes")
        except NoAnswerError:
            return None
        if answer.status != 200:
            return None
        notes: Notes = answer.value
        with self._lock:
            self.faults += known.faults(hall, before, notes)
        return notes

    def _wait(self, under_way: Callable[[], list[Any]], seconds: float) -> list[Any]:
        """Return when nothing is, or that time is over; what is left. Where there are faults, nobody waits."""
        deadline = time.monotonic() + seconds
        while True:
            left = [NoAnswerError.__name__]
            with suppress(NoAnswerError):
                left = under_way()
            if not left or self.faults or time.monotonic() > deadline:
                return left
            time.sleep(0.05)

    def _jobs(self, caller: Caller) -> list[Any]:
        """Those that are not done."""
        found: list[Any] = []
        for state in ("armed", "retrying", "waiting", "parked", "abandoned"):
            answer = caller.request("GET", f"/v1/jobs?state={state}&type=Hall")
            found += answer.value["jobs"] if answer.status == 200 else [answer.text]
        return found

    def _open(self, caller: Caller) -> list[Any]:
        """The halls that have not heard of as many closes as opens."""
        found = {hall: self._look(caller, hall) for hall in HALLS}
        return [
            hall
            for hall, notes in found.items()
            if notes is None or len(notes.get("opened", ())) != len(notes.get("closed", ()))
        ]

    def _look_for_gaps(self, hall: str, heard: dict[str, int]) -> None:
        """What a socket has said is heard from its first word on, without a gap: only its end may be lost."""
        words = defaultdict(set)
        for message in heard:
            who, _, number = message.partition("/")
            words[who].add(int(number))
        for who, numbers in words.items():
            if numbers != set(range(len(numbers))):
                self.faults.append(f"{hall}: of {who} it has heard {sorted(numbers)}")


class Visit:
    """One socket from its handshake to its close."""

    def __init__(self, clients: Connected, hall: str, who: str, chance: random.Random) -> None:
        self._clients = clients
        self._hall = hall
        self._who = who
        self._chance = chance
        self._last = 0  # the number of the hall that it has heard last

    def make(self, url: str) -> None:
        """Come, say some words, go in one way or another."""
        clients, address = self._clients, f"{url.replace('http', 'ws')}/v1/actors/Hall/{self._hall}/?who={self._who}"
        clients.note(self._hall, "opened", self._who, sure=False)
        try:
            with connect(address, open_timeout=SILENT_S, close_timeout=1, compression=None) as socket:
                self._stay(socket)
                if self._chance.random() < 0.3:
                    socket.socket.close()  # without a word
        except ConnectionClosed as closed:
            clients.counts[f"ended by {1006 if closed.rcvd is None else closed.rcvd.code}"] += 1
        except TimeoutError:
            clients.faults.append(f"{self._hall}: {self._who} is neither answered nor closed")
        except (OSError, EOFError, WebSocketException):  # no host, or one that refuses it
            time.sleep(0.02)

    def _stay(self, socket: ClientConnection) -> None:
        word, _, numbered = str(socket.recv(SILENT_S)).partition(" ")
        assert word == "welcome", word
        self._clients.note(self._hall, "opened", self._who, sure=True)
        self._last = int(numbered)
        for number in range(self._chance.randrange(8)):
            said = f"{self._who}/{number}"
            self._clients.note(self._hall, "heard", said, sure=False)
            messages = self._chance.sample([said, f"pass {said}"], 2)
            for message in messages:
                socket.send(message)
            self._hear(socket, messages)
            self._clients.note(self._hall, "heard", said, sure=True)
            if self._clients.stopping.is_set():
                return

    def _hear(self, socket: ClientConnection, awaited: list[str]) -> None:
        """Everything until that has come, in the order in which it was said."""
        while awaited:
            message = str(socket.recv(SILENT_S))
            if not message.startswith("pass "):
                number, _, message = message.partition(" ")
                if int(number) != self._last + 1:
                    self._clients.faults.append(f"{self._hall}: {self._who} heard {number} after {self._last}")
                self._last += 1
            if message == awaited[0]:
                del awaited[0]
            elif message.removeprefix("pass ").startswith(f"{self._who}/"):
                self._clients.faults.append(f"{self._hall}: {self._who} heard {message} instead of {awaited[0]}")
