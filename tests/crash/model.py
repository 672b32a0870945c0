"""Clients whose every call has a known effect, and what may be stored after some of them got no answer.

Each name belongs to one client, so its calls have an order. A client keeps the states that its names may be in: one, as
long as every answer comes; two after a call whose outcome is unknown, until it has looked. An alarm that is set rings
some time: from then on each state comes with the one in which it has rung, once.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.harness.background import Clients
from tests.harness.caller import Answer, Caller, NoAnswerError

State = dict[str, Any]
KEYS = [f"k{number}" for number in range(6)]
ROWS_MAX = 2
FEW_ROWS = ("--limit", f"delete_rows_max={ROWS_MAX}")  # past which a cleared instance's rows are swept later
ARMED, RUNG = "armed", "rung"  # the token that an alarm is set for; those that it rang for, in order
ALARMS_S = 90.0  # an alarm whose worker was killed again and again in its handler waits 32 s for its last retry


@dataclass(frozen=True, slots=True)
class Step:
    """One call and what it does to the state. `succeeds_with` is the error that it ends with where all is well."""

    method: str
    arguments: tuple[Any, ...]
    effect: Callable[[State], State]
    succeeds_with: str = ""


def random_step(chance: random.Random, serial: int) -> Step:
    """Any step of the workload; `serial` makes its values its own."""
    key = chance.choice(KEYS)
    kind = chance.randrange(13)
    if kind == 0:
        return Step("increment", (), lambda state: {**state, "n": state.get("n", 0) + 1})
    if kind == 1:
        many = {each: [serial, each] for each in chance.sample(KEYS, 3)}
        return Step("put_many", (many,), lambda state: {**state, **many})
    if kind == 2:
        return Step("delete", (key,), lambda state: _without(state, key))
    if kind == 3:
        effect = lambda state: {**state, key: serial}  # noqa: E731 - three words
        return Step("discard_in_transaction", (key, serial, -serial), effect)
    if kind == 4:
        return Step("put_then_raise", (key, -serial), dict, "ActorMethodError")
    if kind == 5:
        return Step("put_sync_put_raise", (serial, -serial), lambda s: {**s, "first": serial}, "ActorMethodError")
    if kind == 6 and chance.random() < 0.2:
        return Step("delete_all", (), lambda _state: {})
    if kind == 6:
        return Step("empty", (), lambda state: {key: state[key] for key in state if key == ARMED})
    if kind == 7:
        text = "x" * chance.randrange(1, 20_000)
        return Step("put", (key, text), lambda state: {**state, key: text})
    if kind in {8, 9, 10}:
        return Step("arm", (serial, chance.uniform(-0.1, 0.3)), lambda state: {**state, ARMED: serial})
    if kind == 11:
        return Step("disarm", (), lambda state: _without(state, ARMED))
    return Step("put", (key, serial), lambda state: {**state, key: serial})


def with_alarm(states: list[State]) -> list[State]:
    """These states, and what the handler may have made of them: its effects are there whole, once, or not at all."""
    rung = [{**_without(each, ARMED), RUNG: [*each.get(RUNG, []), each[ARMED]]} for each in states if ARMED in each]
    return _distinct([*states, *rung])


@dataclass
class Name:
    """One instance as its client knows it: the states it may be in, and when it learnt so."""

    name: str
    candidates: list[State] = field(default_factory=lambda: [{}])
    # What was known at which time, for a look back: (monotonic seconds, the states possible from then on).
    history: list[tuple[float, list[State]]] = field(default_factory=list)

    def begin(self, step: Step) -> None:
        """The call may take effect from now on."""
        self.candidates = with_alarm([*self.candidates, *(step.effect(state) for state in self.candidates)])
        self._note()

    def done(self, before: list[State], step: Step) -> None:
        """It took effect."""
        self.candidates = with_alarm([step.effect(state) for state in before])
        self._note()

    def refused(self, before: list[State]) -> None:
        """It did not, and never will."""
        self.candidates = before
        self._note()

    def seen(self, state: State) -> str | None:
        """What a read found; a fault where it cannot be."""
        if state not in self.candidates:
            return f"{self.name}: found {_shown(state)}, possible were {' or '.join(map(_shown, self.candidates))}"
        self.candidates = with_alarm([state])
        self._note()
        return None

    @property
    def in_doubt(self) -> bool:
        """Whether more may be true than that an alarm has rung or has not."""
        return len(self.candidates) > 1 + (ARMED in self.candidates[0])

    def possible_between(self, since_s: float, until_s: float) -> list[State]:
        """The states that an end of all things between two times may have left it in."""
        possible: list[State] = [{}]
        for noted_s, candidates in self.history:
            if noted_s > until_s:
                break
            possible = candidates if noted_s < since_s else _distinct([*possible, *candidates])
        return possible

    def _note(self) -> None:
        self.history.append((time.monotonic(), self.candidates))


@dataclass
class Workload(Clients):
    """Clients that call all the time, across deaths and restarts."""

    url: str
    seed: int
    clients: int = 6
    names_each: int = 3
    acknowledged: int = 0
    unknown: int = 0

    def __post_init__(self) -> None:
        """Make the names."""
        super().__init__(self.clients)
        self.names = [
            [Name(f"c{client}-{number}-\u540d") for number in range(self.names_each)] for client in range(self.clients)
        ]
        self._lock = threading.Lock()

    @property
    def answered(self) -> int:
        """How many calls have been acknowledged."""
        return self.acknowledged

    def look_at_all(self) -> list[str]:
        """After the end: every alarm rings, and what every name holds is what its client may expect; all faults."""
        deadline = time.monotonic() + ALARMS_S
        with Caller(self.url) as caller:
            for name in (name for names in self.names for name in names):
                while not self._look(caller, name) or any(ARMED in state for state in name.candidates):
                    if self.faults or time.monotonic() > deadline:
                        self.faults.append(f"{name.name}: its alarm never rang, or it does not answer")
                        return self.faults
                    time.sleep(0.02)
        return self.faults

    @property
    def rung(self) -> int:
        """How often alarms rang, as far as the names still remember."""
        return sum(len(name.candidates[0].get(RUNG, [])) for names in self.names for name in names)

    def be_client(self, number: int) -> None:
        """Take random steps on its own names."""
        chance = random.Random(self.seed * 1_000 + number)
        serial = number * 1_000_000
        with Caller(self.url) as caller:
            while not self.stopping.is_set() and not self.faults:
                name = chance.choice(self.names[number])
                if name.in_doubt or chance.random() < 0.05:
                    if not self._look(caller, name, paged=chance.random() < 0.5):
                        self.stopping.wait(0.02)
                    continue
                serial += 1
                self._call(caller, name, random_step(chance, serial))

    def _call(self, caller: Caller, name: Name, step: Step) -> None:
        before = name.candidates
        name.begin(step)
        try:
            answer = caller.call("Probe", name.name, step.method, *step.arguments)
        except NoAnswerError as error:
            if error.sent:
                self._count_unknown()
            else:
                name.refused(before)
                self.stopping.wait(0.02)
            return
        if answer.error == step.succeeds_with:
            name.done(before, step)
            with self._lock:
                self.acknowledged += 1
        elif answer.error in {"HostUnavailableError", "MailboxFullError", "StorageFullError"}:
            name.refused(before)
            self.stopping.wait(0.02)
        elif answer.error == "ActorOutputGateError":
            self._count_unknown()
        else:
            self.faults.append(f"{name.name}: {step.method} was answered {answer.status} {answer.text[:200]}")

    def _look(self, caller: Caller, name: Name, *, paged: bool = False) -> bool:
        answer: Answer | None
        try:
            answer = caller.call("Probe", name.name, "page" if paged else "everything")
        except NoAnswerError:
            return False
        if answer.status != 200:
            return False
        fault = name.seen(answer.value)
        if fault is not None:
            self.faults.append(fault)
        return True

    def _count_unknown(self) -> None:
        with self._lock:
            self.unknown += 1


def _without(state: State, key: str) -> State:
    return {each: value for each, value in state.items() if each != key}


def _distinct(states: list[State]) -> list[State]:
    found: list[State] = []
    for state in states:
        if state not in found:
            found.append(state)
    return found


def _shown(state: State) -> str:
    return json.dumps({key: value if len(str(value)) < 40 else f"({len(str(value))})" for key, value in state.items()})
