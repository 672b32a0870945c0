"""A turn for tests: storage in a dictionary, and a list of what the guest asked for."""

from __future__ import annotations

from collections.abc import Callable

from holdfast_host.core.errors import BadRequestError, HoldfastError, UnsupportedError
from holdfast_host.sandbox.capabilities import JobCalls, SocketCalls, StorageCalls
from holdfast_host.sandbox.gathered_calls import GatheredCall


class DictStorage:
    """The storage calls against one dictionary, with savepoints and without limits."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.savepoints: list[dict[bytes, bytes]] = []
        self.alarm_us: int | None = None
        self.asked: list[object] = []

    def get(self, key: bytes) -> bytes | None:
        return self.kept.get(key)

    def get_many(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        return [(key, self.kept[key]) for key in keys if key in self.kept]

    def put(self, key: bytes, value: bytes) -> None:
        self.kept[key] = value

    def delete(self, key: bytes) -> bool:
        return self.kept.pop(key, None) is not None

    def delete_all(self) -> None:
        self.kept.clear()

    def list(
        self,
        prefix: bytes,
        start: bytes | None,
        start_after: bytes | None,
        end: bytes | None,
        reverse: bool,
        limit: int,
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        self.asked.append((prefix, start, start_after, end, reverse, limit))
        pairs = sorted(self.kept.items(), reverse=reverse)
        return pairs[:limit], pairs[limit][0] if len(pairs) > limit else None

    def savepoint(self) -> int:
        self.savepoints.append(dict(self.kept))
        return len(self.savepoints)

    def release_savepoint(self, number: int) -> None:
        self._check_open(number)
        del self.savepoints[number - 1 :]

    def rollback_savepoint(self, number: int) -> None:
        self._check_open(number)
        self.kept = self.savepoints[number - 1]
        del self.savepoints[number - 1 :]

    def _check_open(self, number: int) -> None:
        if not 1 <= number <= len(self.savepoints):
            raise BadRequestError(f"savepoint {number} is not open")

    def release(self) -> None:
        self.savepoints.pop()

    def rollback(self) -> None:
        self.kept = self.savepoints.pop()

    def set_alarm(self, due_us: int) -> None:
        self.alarm_us = due_us

    def get_alarm(self) -> int | None:
        return self.alarm_us

    def delete_alarm(self) -> None:
        self.alarm_us = None


class TestTurn:
    """Capabilities that a test can watch and steer."""

    __test__ = False

    def __init__(self, *, ticks_max: int = 3, host_calls_max: int = 1_000_000) -> None:
        self.dictionary = DictStorage()
        self.storage: StorageCalls = self.dictionary
        self.ticks = 0
        self.ticks_max = ticks_max
        self.host_calls = 0
        self.host_calls_max = host_calls_max
        self.lines: list[tuple[str, str]] = []
        self.events: list[str] = []
        self.on_call: Callable[[str, str, str, bytes], bytes] | None = None

    def host_call(self) -> bool:
        self.host_calls += 1
        return self.host_calls <= self.host_calls_max

    def tick(self) -> bool:
        self.ticks += 1
        return self.ticks <= self.ticks_max

    def check_alarm_handler(self) -> None:
        pass

    def sync(self) -> None:
        self.events.append("sync")

    def call_many(self, calls: list[GatheredCall]) -> list[bytes | HoldfastError]:
        return [self.call(*each.target, arguments=each.arguments, key=each.key) for each in calls]

    def key(self) -> bytes:
        return b""

    def call(self, binding: str, name: str, method: str, arguments: bytes, key: bytes = b"") -> bytes:
        if self.on_call is None:
            raise UnsupportedError("calls to other actors are not available yet")
        return self.on_call(binding, name, method, arguments)

    def fetch(self, binding: str, name: str, request: bytes) -> bytes:
        raise UnsupportedError(f"fetch of {binding}/{name} is not available yet")

    def request_http(self, request: bytes, *, streams: bool = False) -> bytes:
        raise UnsupportedError("nothing is asked outside here")

    def read_http(self, stream: str, bytes_max: int) -> bytes:
        raise UnsupportedError("nothing is asked outside here")

    @property
    def jobs(self) -> JobCalls:
        raise UnsupportedError("no jobs are run here")

    @property
    def sockets(self) -> SocketCalls:
        raise UnsupportedError("there are no sockets here")

    def log(self, level: str, text: str) -> None:
        self.lines.append((level, text))
