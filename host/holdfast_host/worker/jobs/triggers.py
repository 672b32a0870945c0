"""The times at which functions run: `[triggers] crons` of a manifest, as jobs of one hidden instance for each function.

That instance is of a type of its own, which no component ships and no caller sees. Its worker makes its jobs equal to
the manifest at each switch and at each start, by an edit: so a crash between the two mends itself. From then on they
are crons like any others: stored, tried again, run once after they were slept through, and never two at once, for they
are turns of one instance.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.wire.control.catalog import ActorType, Deployment
    from holdfast_host.wire.control.routing import Routes
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.mailboxes import Mailboxes

NAME: Final = b"crons"
EDIT: Final = b"set_crons"
_OK: Final = 200


@leaders
class Triggers:
    """Those of one worker."""

    def __init__(
        self, worker: int, routing: Routes, deployments: Deployments, mailboxes: Mailboxes, output: Output
    ) -> None:
        self._worker = worker
        self._routing = routing
        self._deployments = deployments
        self._mailboxes = mailboxes
        self._output = output
        self._known: dict[int, ActorType] = {}  # by type number: what the version that runs says
        self._wanted: dict[int, ActorType] = {}  # those of them that are this worker's to make
        self._unequal: set[int] = set()  # what could not be made yet
        self._told: set[int] = set()  # of which the log says so

    def apply(self, deployment: Deployment) -> None:
        """This version runs now: its times are those of its manifest from here on."""
        for each in deployment.types:
            if each.crons is None:
                continue
            self._known[each.type_id] = each
            if self._is_ours(each.type_id):
                self._wanted[each.type_id] = each
                self._set(each)

    def follow_routing(self) -> None:
        """What is another worker's now is made there; what has become this one's, here."""
        for type_id, each in self._known.items():
            if not self._is_ours(type_id):
                self._wanted.pop(type_id, None)
                self._unequal.discard(type_id)
            elif type_id not in self._wanted and self._deployments.find(type_id) is not None:
                self._wanted[type_id] = each
                self._set(each)

    def _is_ours(self, type_id: int) -> bool:
        return self._routing.place(type_id, NAME)[0] == self._worker

    def try_again(self) -> None:
        """Make what could not be made: its mailbox was full, or the disk."""
        unequal, self._unequal = self._unequal, set()
        for type_id in unequal:
            if self._deployments.find(type_id) is not None:
                self._set(self._wanted[type_id])

    def failed(self, trigger: ActorType, body: bytes) -> None:
        """An edit was refused; one of an earlier version is not tried again, for it would undo what came after it."""
        if self._wanted.get(trigger.type_id) is not trigger:
            return
        text = json.loads(body)["error"]["message"]
        if trigger.type_id not in self._told:
            self._told.add(trigger.type_id)
            self._output.event("warning", f"the crons of {trigger.type} are not set yet: {text}")
        self._unequal.add(trigger.type_id)

    def _set(self, trigger: ActorType) -> None:
        request = Call(
            slot=0,
            type_id=trigger.type_id,
            budget_ms=0,
            kind=CallKind.EDIT,
            flags=0,
            name=NAME,
            method=EDIT,
            origin=b"",
            body=json.dumps(trigger.crons).encode(),
        )
        self._mailboxes.submit(None, request, _Setting(self, trigger))


@leaders
class _Setting:
    """Who hears of an edit."""

    origin = None  # it is nobody's call,
    receiver = None  # for which no instance waits

    def __init__(self, triggers: Triggers, trigger: ActorType) -> None:
        self._triggers = triggers
        self._trigger = trigger

    def answered(self, status: int, body: bytes) -> None:
        """The edit is over."""
        if status != _OK:
            self._triggers.failed(self._trigger, body)
