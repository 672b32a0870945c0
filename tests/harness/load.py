"""Many clients at once, and a record of what each call was told, against which the stored state is judged later."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.harness.caller import Answer, Caller, NoAnswerError


class Told(Enum):
    """What a call's caller knows afterwards."""

    DONE = "200: its writes are durable"
    NOTHING = "an error that says that nothing was committed"
    UNKNOWN = "the outcome is unknown: no answer, or ActorOutputGateError"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call that a client will make, with arguments by position or by name; `token` is the test's own mark."""

    name: str
    method: str
    arguments: tuple[Any, ...] = ()
    token: str = ""
    actor_type: str = "Probe"
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One call that was made. Times are of `time.monotonic`, in seconds."""

    call: PlannedCall
    began_s: float
    ended_s: float
    told: Told
    answer: Answer | None
    reason: str = ""

    @property
    def took_s(self) -> float:
        """From the first byte sent to the last byte read."""
        return self.ended_s - self.began_s


@dataclass
class Load:
    """Clients in threads, each making one call after another until it is stopped. A context manager that stops it.

    Args:
        url: the host's.
        plan: what a client, by its number, calls next; called on the client's own thread with its own random source.
            None ends that client.
        clients: how many.
        seed: of the clients' random sources.
        pause_s: rest of a client after each call.
    """

    url: str
    plan: Callable[[int, random.Random], PlannedCall | None]
    clients: int = 8
    seed: int = 1
    pause_s: float = 0.0
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare the threads; `start` starts them."""
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]

    def __enter__(self) -> Load:
        """Start the clients."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop them."""
        self.stop()

    def start(self) -> None:
        """Start the clients."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Record]:
        """Let each client finish its call; all that was recorded."""
        self._stopping.set()
        return self.join()

    def join(self) -> list[Record]:
        """Wait until every client has come to the end of its plan; all that was recorded."""
        for thread in self._threads:
            thread.join()
        return self.records

    def wait_for(self, count: int, told: Told = Told.DONE, timeout_s: float = 30.0) -> None:
        """Return when that many more calls have been told so."""
        deadline = time.monotonic() + timeout_s
        start = len(self.records)
        while sum(record.told is told for record in itertools.islice(self.records, start, None)) < count:
            assert time.monotonic() < deadline, f"not {count} calls were told {told} within {timeout_s} s"
            time.sleep(0.005)

    def _client(self, number: int) -> None:
        chance = random.Random(self.seed * 1_000 + number)
        with Caller(self.url) as caller:
            while not self._stopping.is_set():
                planned = self.plan(number, chance)
                if planned is None:
                    return
                record = make(caller, planned)
                self.records.append(record)
                if record.answer is None or record.answer.status in {429, 503}:
                    self._stopping.wait(0.02)  # the host is away or overloaded: try again, not at once
                elif self.pause_s:
                    self._stopping.wait(self.pause_s)


def make(caller: Caller, planned: PlannedCall) -> Record:
    """Make one call and judge what it was told."""
    began_s = time.monotonic()
    try:
        answer = caller.call(planned.actor_type, planned.name, planned.method, *planned.arguments, **planned.keywords)
    except NoAnswerError as error:
        told = Told.UNKNOWN if error.sent else Told.NOTHING
        return Record(planned, began_s, time.monotonic(), told, None, str(error))
    return Record(planned, began_s, time.monotonic(), told_by(answer), answer)


def told_by(answer: Answer) -> Told:
    """What an answer says about the call's writes."""
    if answer.status == 200:
        return Told.DONE
    return Told.UNKNOWN if answer.error == "ActorOutputGateError" else Told.NOTHING


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which that share (0 to 1) of them lies."""
    ordered = sorted(values)
    assert ordered, "no values"
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Tokens:
    """Calls of `Probe.apply`, each with a token of its own, so that every single write can be found again.

    Args:
        prefix: of this load's tokens and instance names.
        names: how many instances take part.
    """

    def __init__(self, prefix: str, names: int = 20) -> None:
        self.names = [f"{prefix}-{number}" for number in range(names)]
        self._prefix = prefix
        self._numbers = itertools.count()

    def plan(self, _client: int, chance: random.Random) -> PlannedCall:
        """The next call of any client."""
        token = f"{self._prefix}-{next(self._numbers)}"
        return PlannedCall(chance.choice(self.names), "apply", (token,), token)

    def faults(self, caller: Caller, records: Iterable[Record]) -> list[str]:
        """What is wrong with the stored state, given what the callers were told; empty if all is right."""
        told: dict[str, dict[str, Told]] = defaultdict(dict)
        for record in records:
            told[record.call.name][record.call.token] = record.told
        faults = []
        for name in self.names:
            stored = caller.value("Probe", name, "applied")
            faults += _faults_of(name, stored, told[name])
        return faults


def _faults_of(name: str, stored: dict[str, Any], told: dict[str, Told]) -> list[str]:
    tokens: dict[str, int] = stored["tokens"]
    faults = [f"{name}: {token} counted {times} times" for token, times in tokens.items() if times != 1]
    faults += [f"{name}: {token} was never sent" for token in tokens.keys() - told.keys()]
    for token, what in told.items():
        if what is Told.DONE and token not in tokens:
            faults.append(f"{name}: {token} was acknowledged and is lost")
        if what is Told.NOTHING and token in tokens:
            faults.append(f"{name}: {token} was refused and is there")
    if not stored["left"] == stored["right"] == len(tokens):
        faults.append(f"{name}: half a turn: {len(tokens)} tokens, left {stored['left']}, right {stored['right']}")
    return faults
