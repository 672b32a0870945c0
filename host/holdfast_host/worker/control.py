"""The worker's end of the control channel: deploys, draining, stopping, and EOF when the supervisor is gone.

The leader's, like the links; loading a component happens on a thread of its own, for it takes 2 to 14 ms.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from holdfast_host.core.errors import HoldfastError, InternalError
from holdfast_host.wire.catalog import Deployment
from holdfast_host.wire.control import pack_message, unpack_message
from holdfast_host.worker.alarms.readers import types_with_alarms
from holdfast_host.worker.inspection.activity import Activity, add_places
from holdfast_host.worker.links import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.worker.loop import Worker
    from holdfast_host.worker.turns.turn import Turn


class ControlChannel:
    """Messages from and to the supervisor."""

    def __init__(self, connection: socket.socket, worker: Worker, on_stop: Callable[[], None], received: bytes) -> None:
        self._socket = connection
        self._sending = threading.Lock()  # a message may go in several pieces
        self._worker = worker
        self._on_stop = on_stop
        self._received = received
        worker.poller.add(connection.fileno(), self._read)
        worker.health.on_stall = lambda stalled: self.send("sync", stalled=stalled)
        worker.health.on_shortage = lambda shortage: self.send("room", shortage=shortage)

    def send(self, kind: str, **facts: Any) -> None:
        """Tell the supervisor; it always reads, so this may block for a moment; any thread."""
        message = pack_message(kind, **facts)
        try:
            with self._sending:
                self._socket.sendall(message)
        except OSError:
            os._exit(0)  # the supervisor is gone

    def _read(self, events: int) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # the supervisor is gone
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._obey(unpack_message(line))

    def _obey(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "prepare":
            threading.Thread(target=self._prepare, args=(message,), name="holdfast-prepare", daemon=True).start()
        elif kind == "switch":
            deployment = Deployment.from_json(message["deployment"])
            self._worker.deployments.switch(deployment)
            self._worker.mailroom.pardon(deployment.function, {each.type_id for each in deployment.types})
            self._worker.alarms.take_up_parked(each.type_id for each in deployment.types)
            self.send("done", id=message["id"], error=None)
        elif kind == "quarantine":
            lifted = {type_id for type_id, _ in self._worker.mailroom.quarantined}
            self._worker.mailroom.set_quarantined(message["instances"])
            self._worker.alarms.take_up_parked(lifted)
            self.send("done", id=message["id"], error=None)
        elif kind == "remove":
            self._worker.deployments.remove(message["function"])
            self.send("done", id=message["id"], error=None)
        elif kind == "occupied":
            store = self._worker.store
            found = [each for each in message["types"] if store.instances(each, b"", b"", 1)[0]]
            self.send("done", id=message["id"], error=None, types=found)
        elif kind == "armed":
            threading.Thread(target=self._look_for_alarms, args=(message,), name="holdfast-alarms", daemon=True).start()
        elif kind == "describe":
            threading.Thread(target=self._describe, args=(message,), name="holdfast-describe", daemon=True).start()
        elif kind == "secrets":
            self._worker.deployments.set_secrets(message["values"])
            self.send("done", id=message["id"], error=None)
        elif kind == "ping":
            self.send("pong", id=message["id"])
        elif kind == "measure":
            self.send("done", id=message["id"], error=None, measures=self._worker.measures.report(self._worker))
        elif kind == "activity":
            facts, placed = Activity.of(self._worker).report(int(message["limit"]))
            threading.Thread(
                target=self._send_activity, args=(message["id"], facts, placed), name="holdfast-activity", daemon=True
            ).start()
        elif kind == "drain":
            self._worker.drain(lambda: self.send("drained"))
        elif kind == "stop":
            self._on_stop()

    def _send_activity(self, number: int, facts: dict[str, Any], placed: list[tuple[dict[str, Any], Turn]]) -> None:
        """To see where turns stand takes a while, and may not take it from the leader."""
        add_places(placed)
        self.send("done", id=number, error=None, activity=facts)

    def _describe(self, message: dict[str, Any]) -> None:
        """Try what is not deployed yet; the guest may do what it likes with its time."""
        deployment = Deployment.from_json(message["deployment"])
        output, function = self._worker.output, deployment.function
        try:
            description = self._worker.deployments.describe(
                deployment, lambda traceback: output.guest_traceback(function, function, traceback)
            )
            self.send("done", id=message["id"], error=None, description=description)
        except HoldfastError as error:
            self.send("done", id=message["id"], error=error.facts())
        except Exception as error:
            failure = InternalError(f"the sources of {function} cannot be tried: {error}")
            self.send("done", id=message["id"], error=failure.facts())

    def _look_for_alarms(self, message: dict[str, Any]) -> None:
        """All alarms of this worker may have to be looked at, whatever their types: a page at a time."""
        try:
            found = types_with_alarms(self._worker.store, set(message["types"]))
            self.send("done", id=message["id"], error=None, types=sorted(found))
        except Exception as error:
            failure = InternalError(f"the alarms cannot be read: {error}")
            self.send("done", id=message["id"], error=failure.facts())

    def _prepare(self, message: dict[str, Any]) -> None:
        deployment = Deployment.from_json(message["deployment"])
        try:
            types = self._worker.deployments.load(deployment)
        except HoldfastError as error:
            self.send("done", id=message["id"], error=error.facts())
            return
        except Exception as error:
            failure = InternalError(f"version {deployment.version} of {deployment.function} does not load: {error}")
            self.send("done", id=message["id"], error=failure.facts())
            return

        def keep() -> None:
            self._worker.deployments.prepare(deployment, types)
            self.send("done", id=message["id"], error=None)

        self._worker.post(keep)
