"""How much may be under way at once: requests of a function, a tenant, the host and to one server; bytes of bodies.

A request that finds no room is refused before anything of it was sent. An answer that finds none for its body is cut:
then the request has been sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from holdfast_host.core.errors import OutboundBusyError, OutboundUnreachableError
from holdfast_host.core.limits import Limits
from holdfast_host.core.outbound import Target
from holdfast_host.core.tenants import tenant_of

_Key = TypeVar("_Key")


class Admitted:
    """One request that is under way; ends with `InFlight.admit`'s block."""

    def __init__(self, in_flight: InFlight, held_bytes: int) -> None:
        self._in_flight = in_flight
        self.held_bytes = held_bytes
        self.server: tuple[str, int] | None = None

    def go_to(self, target: Target) -> None:
        """Count it to this server, and no longer to the one before.

        Raises:
            OutboundBusyError: too many go there.
        """
        self._in_flight.move(self, (target.host, target.port))

    def hold(self, size: int) -> None:
        """Count so many more bytes of its answer.

        Raises:
            OutboundUnreachableError: all answers together are too much.
        """
        self._in_flight.hold(self, size)


class InFlight:
    """What is under way; one per courier."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._functions: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._tenants_max: Mapping[str, int] = {}
        self._servers: Counter[tuple[str, int]] = Counter()
        self.requests = 0
        self.held_bytes = 0

    def set_tenants(self, most: Mapping[str, int]) -> None:
        """How many requests of these tenants may be under way from now on."""
        self._tenants_max = most

    @contextmanager
    def admit(self, function: str, body_bytes: int) -> Iterator[Admitted]:
        """Count a request until the block ends.

        Raises:
            OutboundBusyError: there is no room for it.
        """
        limits, tenant = self._limits, tenant_of(function)
        most = self._tenants_max.get(tenant)
        if most is not None and self._tenants[tenant] >= most:
            raise OutboundBusyError(
                f"the tenant {tenant!r} has {self._tenants[tenant]} requests under way, the limit is {most}"
            )
        if self._functions[function] >= limits.outbound_function_requests_max:
            raise OutboundBusyError(
                f"{function} has {self._functions[function]} requests under way, the limit is "
                f"{limits.outbound_function_requests_max}"
            )
        if self.requests >= limits.outbound_requests_max:
            raise OutboundBusyError(
                f"{self.requests} requests are under way, the limit is {limits.outbound_requests_max}"
            )
        if self.held_bytes + body_bytes > limits.outbound_held_bytes_max:
            raise OutboundBusyError(
                f"{self.held_bytes} bytes of bodies are under way, {body_bytes} more exceed the limit of "
                f"{limits.outbound_held_bytes_max} bytes"
            )
        admitted = Admitted(self, body_bytes)
        self._functions[function] += 1
        self._tenants[tenant] += 1
        self.requests += 1
        self.held_bytes += body_bytes
        try:
            yield admitted
        finally:
            _drop(self._functions, function)
            _drop(self._tenants, tenant)
            self.requests -= 1
            self.held_bytes -= admitted.held_bytes
            self._leave(admitted)

    def move(self, admitted: Admitted, server: tuple[str, int]) -> None:
        """See `Admitted.go_to`."""
        if admitted.server == server:
            return
        limit = self._limits.outbound_origin_requests_max
        if self._servers[server] >= limit:
            raise OutboundBusyError(
                f"{self._servers[server]} requests to {server[0]}:{server[1]} are under way, the limit is {limit}"
            )
        self._leave(admitted)
        admitted.server = server
        self._servers[server] += 1

    def hold(self, admitted: Admitted, size: int) -> None:
        """See `Admitted.hold`."""
        limit = self._limits.outbound_held_bytes_max
        if self.held_bytes + size > limit:
            raise OutboundUnreachableError(
                f"the answer was cut: with it more than {limit} bytes of bodies would be under way, which is the limit"
            )
        admitted.held_bytes += size
        self.held_bytes += size

    def of_function(self, function: str) -> int:
        """Requests of the function that are under way."""
        return self._functions[function]

    def _leave(self, admitted: Admitted) -> None:
        if admitted.server is not None:
            _drop(self._servers, admitted.server)
            admitted.server = None


def _drop(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
