"""Where a request comes from and what it was asked for, also when proxies stand between.

What a request says of that is believed of the operator's own proxies only (`--trusted-proxy`): anybody can write
`X-Forwarded-For`. Each proxy appends the address that it was asked by, so the list is read from its end, past those
that are trusted; the first other address is the client's. `Forwarded` (RFC 7239) says the same with scheme and host for
each hop. A proxy writes the one or the other and may pass on what a client wrote of the other: where both are there,
they must agree.
"""

from __future__ import annotations

import ipaddress
import re
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.core.errors import BadRequestError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_HOPS_MAX: Final = 32  # looked at of the list
_STRANGERS_MAX: Final = 1024  # remembered
_SCHEMES: Final = frozenset({"http", "https"})
# One pair of an element with what ends it: `for="[2001:db8::1]:4711";`. Elements and pairs may be empty. Spaces
# are never given back: a client may have written thousands, and there would be as many ways to share them out.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 a token of HTTP, no secret
_PAIR: Final = re.compile(rf'[ \t]*+(?:({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*"))?[ \t]*+([;,]|\Z)')
_ESCAPE: Final = re.compile(r"\\(.)")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CameBy(NamedTuple):
    """The address of a client, empty where it is unknown; the scheme that it used; the host if a proxy says which."""

    client: str
    scheme: str
    host: str = ""


class TrustedProxies:
    """The networks of the operator's proxies, which do not change. One per front, for its loop."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(each) for each in networks)
        self._strangers: dict[tuple[str | None, str], CameBy] = {}  # whose headers count for nothing, seen lately

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._networks)

    def tell_host(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether it depends on who sends these headers what host they ask for."""
        return bool(self._networks) and ("X-Forwarded-Host" in headers or "Forwarded" in headers)

    def look(self, peer: str | None, headers: CIMultiDictProxy[str], scheme: str = "http") -> CameBy:
        """Where a request comes from.

        Args:
            peer: the address at the other end of its connection.
            headers: its own, which count where the peer is trusted.
            scheme: of its connection.

        Raises:
            BadRequestError: a trusted peer sends a `Forwarded` that is none, or headers that contradict each other.
        """
        stranger = self._strangers.get((peer, scheme))
        if stranger is not None:
            return stranger
        address = _read(peer or "")
        if address is None or not self._networks or not self._trusts(address):
            if len(self._strangers) >= _STRANGERS_MAX:
                self._strangers.clear()
            stranger = CameBy(str(address) if address is not None else peer or "", scheme)
            self._strangers[peer, scheme] = stranger
            return stranger
        told = self._told_by_x(headers)
        if "Forwarded" in headers:
            forwarded = self._told_by_forwarded(",".join(headers.getall("Forwarded")))
            for one, other in zip(told, forwarded, strict=True):
                if one and other and one.lower() != other.lower():
                    raise BadRequestError(
                        f"Forwarded says {other[:100]!r} where X-Forwarded-* says {one[:100]!r}: let the proxy remove "
                        "from requests whichever of the two it does not write itself"
                    )
            told = CameBy(*(one or other for one, other in zip(told, forwarded, strict=True)))
        return CameBy(told.client or str(address), told.scheme or scheme, told.host)

    def _told_by_x(self, headers: CIMultiDictProxy[str]) -> CameBy:
        """What `X-Forwarded-*` say; of scheme and host the last value, which is the nearest proxy's."""
        hops = ",".join(headers.getall("X-Forwarded-For", [])).rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]
        client, _ = self._walk(hops)
        scheme = _last(headers.getall("X-Forwarded-Proto", []))
        return CameBy(client, _scheme(scheme), _last(headers.getall("X-Forwarded-Host", [])))

    def _told_by_forwarded(self, value: str) -> CameBy:
        """What `Forwarded` says; scheme and host as the outermost proxy does that is asked for its word."""
        elements = _read_forwarded(value)
        client, looked_at = self._walk([each.get("for", "") for each in elements])
        scheme = host = ""
        for each in elements[-looked_at:]:
            scheme, host = scheme or _scheme(each.get("proto", "")), host or each.get("host", "")
        return CameBy(client, scheme, host)

    def _walk(self, hops: list[str]) -> tuple[str, int]:
        """The client's address, empty where none is told, and how many of the hops were looked at for it."""
        client, looked_at = "", 0
        for hop in reversed(hops):
            looked_at += 1
            address = _read(hop)
            if address is None:
                break  # a proxy that knows no address says "unknown", or hides it
            client = str(address)
            if not self._trusts(address):
                break
        return client, looked_at

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _read_forwarded(value: str) -> list[dict[str, str]]:
    """The last elements of a `Forwarded` header, each with its parameters in lower case; BadRequestError."""
    elements: deque[dict[str, str]] = deque(maxlen=_HOPS_MAX)
    element: dict[str, str] = {}
    at = 0
    while at <= len(value):
        found = _PAIR.match(value, at)
        if found is None:
            raise BadRequestError(f"the Forwarded header is not as RFC 7239 has it, at {value[at : at + 40]!r}")
        name, text, end = found.groups()
        if name is not None:
            if name.lower() in element:
                raise BadRequestError(f"the Forwarded header says {name[:40]!r} twice of one hop")
            element[name.lower()] = _ESCAPE.sub(r"\1", text[1:-1]) if text.startswith('"') else text
        if end != ";":
            if element:
                elements.append(element)
            element = {}
        if not end:
            break
        at = found.end()
    return [*elements]


def _read(text: str) -> Address | None:
    """An address as proxies write it: with a port, in brackets, or IPv4 in the form of IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _scheme(text: str) -> str:
    """A scheme that requests come by, or nothing."""
    return text.lower() if text.lower() in _SCHEMES else ""


def _last(values: list[str]) -> str:
    return values[-1].rpartition(",")[2].strip() if values else ""
