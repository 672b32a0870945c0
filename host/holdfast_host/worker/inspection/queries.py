"""Questions of people about instances: READ frames, answered beside the turns.

What only the leader knows (is it active, how many turns wait) it says at once. What lies on disk is read by a thread of
its own, in steps of one short read transaction each, as of the last commit: nothing that is not durable is shown. Who
asks for much asks again with the position that an answer ends with.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError, HoldfastError, HostUnavailableError, InternalError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.storage.listing import key_range
from holdfast_host.wire.calls.frames import unpack_read
from holdfast_host.worker.alarms.queries import describe_alarm
from holdfast_host.worker.inspection.transfers import Transfers
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Store
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.mailboxes import Mailboxes

Reader = Callable[[JsonObject], JsonObject]  # from a question to its answer; any thread

WAITING_MAX: Final = 256  # questions that the thread has not begun


@leaders
class Inspection:
    """The READ frames of one worker; all readers run on the one thread."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        deployments: Deployments,
        mailboxes: Mailboxes,
        limits: Limits,
        *,
        post: Callable[[Callable[[], None]], None],
        reply: Callable[[ClientConnection, int, int, bytes], None],
    ) -> None:
        """`post(action)` has the leader do something soon; `reply(client, slot, status, body)` answers."""
        self._store = store
        self._directory = directory
        self._deployments = deployments
        self._limits = limits
        self._mailboxes = mailboxes
        self._post = post
        self._reply = reply
        self._questions: queue.SimpleQueue[tuple[ClientConnection, int, Reader, JsonObject]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reading = threading.Lock()
        self.transfers = Transfers(store, limits)
        self.readers: dict[str, Reader] = {
            "instances": self._instances,
            "instance": self._instance,
            "keys": self._keys,
            "storage": self._storage,
            "value": self._value,
            **self.transfers.readers,
        }

    def receive(self, client: ClientConnection, payload: bytes) -> None:
        """One READ frame: answer it at once, or hand it to the thread."""
        slot, facts = unpack_read(payload)
        what = facts.get("read")
        if what == "evict":
            self._evict(client, slot, facts)
            return
        reader = self.readers.get(what) if isinstance(what, str) else None
        if reader is None:
            self._refuse(client, slot, BadRequestError(f"there is no question {what!r}"))
        elif self._questions.qsize() >= WAITING_MAX:
            self._refuse(client, slot, HostUnavailableError(f"{WAITING_MAX} questions wait at this worker"))
        else:
            if what == "instance":
                facts |= self._live_facts(facts)
            elif what in {"alarms", "jobs"}:
                facts["types"] = self._deployments.type_names()
            if self._thread is None:
                self._thread = threading.Thread(target=self._read_all, name="holdfast-inspection", daemon=True)
                self._thread.start()
            self._questions.put((client, slot, reader, facts))

    def close(self) -> None:
        """Read no more: the store is about to be closed. The process ends next."""
        self._reading.acquire(timeout=1.0)

    # The leader's.

    def _live_facts(self, facts: JsonObject) -> JsonObject:
        entry = self._directory.find(facts["type_id"], _name(facts))
        deployed = self._deployments.find(facts["type_id"])
        running = entry.loaded if entry is not None and entry.sandbox is not None else None
        version = running or deployed
        return {
            "active": running is not None,
            "queued": 0 if entry is None else len(entry.mail),
            "version": None if version is None else version.version,
            "quarantined": self._mailboxes.is_quarantined(facts["type_id"], _name(facts)),
        }

    def _evict(self, client: ClientConnection, slot: int, facts: JsonObject) -> None:
        """Drop the activation now, or when its running turn ends."""
        entry = self._directory.find(facts["type_id"], _name(facts))
        evicted = entry is not None and (entry.sandbox is not None or entry.turn is not None)

        def say() -> None:
            self._reply(client, slot, 200, json.dumps({"evicted": evicted}).encode())

        if entry is None or entry.turn is None:
            if entry is not None:
                entry.deactivate()
            say()
        else:
            entry.evictions = (*entry.evictions, say)

    def _refuse(self, client: ClientConnection, slot: int, error: HoldfastError) -> None:
        self._reply(client, slot, error.status, error.to_json())

    # The thread's.

    def _read_all(self) -> None:
        while True:
            try:
                client, slot, reader, facts = self._questions.get(timeout=self.transfers.end_idle())
            except queue.Empty:
                continue
            try:
                with self._reading:
                    status, body = 200, json.dumps(reader(facts), separators=(",", ":")).encode()
            except HoldfastError as error:
                status, body = error.status, error.to_json()
            except Exception as error:  # a question must neither end the worker nor stay unanswered
                failure = InternalError(f"the question {facts.get('read')!r} failed: {error!r}")
                status, body = failure.status, failure.to_json()
            self._post(lambda answer=(client, slot, status, body): self._reply(*answer))  # type: ignore[misc]

    def _instances(self, facts: JsonObject) -> JsonObject:
        """A page of a type's instances by name: `type_id`, `prefix`, `after`, `limit`."""
        page = self._store.instances(
            facts["type_id"], facts["prefix"].encode(), facts["after"].encode(), int(facts["limit"])
        )
        rows = [(name.decode(errors="replace"), live_bytes) for name, live_bytes in page.rows]
        return {"rows": rows, "next": None if page.next is None else page.next.decode(errors="replace")}

    def _instance(self, facts: JsonObject) -> JsonObject:
        """One instance: what the leader said of it, its alarm, how many jobs it has, and how many bytes are whose."""
        stored = self._store.locate(facts["type_id"], _name(facts))
        shown = {name: facts[name] for name in ("active", "queued", "version", "quarantined")}
        jobs = self._store.jobs.count(stored)
        sizes = {"bytes": stored.live_bytes, "apart_bytes": stored.apart_bytes, "jobs": jobs}
        return {**shown, "alarm": describe_alarm(self._store.alarm(stored)), **sizes}

    def _keys(self, facts: JsonObject) -> JsonObject:
        """A step of counting an instance's keys: `after`."""
        stored = self._store.locate(facts["type_id"], _name(facts))
        count, after = self._store.count_keys(stored, bytes.fromhex(facts["after"]))
        return {"count": count, "next": None if after is None else after.hex()}

    def _storage(self, facts: JsonObject) -> JsonObject:
        """A page of an instance's keys and encoded values: `prefix`, `start` (inclusive), `limit`, `bytes_max`."""
        start, limit = facts["start"], int(facts["limit"])
        bounds = key_range(
            facts["prefix"].encode(),
            None if start is None else start.encode(),
            None,
            None,
            self._limits.key_bytes_max,
        )
        if bounds is None:
            return {"entries": [], "next": None}
        first, stop = bounds
        stored = self._store.locate(facts["type_id"], _name(facts))
        pairs, complete = self._store.scan(
            stored, start=first, end=stop, reverse=False, entries_max=limit + 1, bytes_max=int(facts["bytes_max"])
        )
        entries = [(key.decode(errors="replace"), value.decode(errors="replace")) for key, value in pairs]
        if len(entries) > limit:
            return {"entries": entries[:limit], "next": entries[limit][0]}
        return {"entries": entries, "next": None if complete else entries[-1][0] + "\0"}

    def _value(self, facts: JsonObject) -> JsonObject:
        """One encoded value, null where the key is absent: `key`."""
        stored = self._store.locate(facts["type_id"], _name(facts))
        value = self._store.get(stored, facts["key"].encode())
        return {"value": None if value is None else value.decode(errors="replace")}


def _name(facts: JsonObject) -> bytes:
    name: str = facts["name"]
    return name.encode()
