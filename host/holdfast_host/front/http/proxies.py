"""Where a request comes from, also when a proxy stands between.

What a request says of its origin is believed of the operator's own proxies only (`--trusted-proxy`): anybody can write
`X-Forwarded-For`. Each proxy appends the address that it was asked by, so the list is read from its end, past those
that are trusted; the first other address is the client's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_HOPS_MAX: Final = 32  # looked at of the list
_SCHEMES: Final = frozenset({"http", "https"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CameBy(NamedTuple):
    """The address of a client, empty where it is unknown, and the scheme that it used."""

    client: str
    scheme: str


class TrustedProxies:
    """The networks of the operator's proxies. One per front; immutable."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(each) for each in networks)

    def look(self, peer: str | None, headers: CIMultiDictProxy[str]) -> CameBy:
        """Where a request comes from.

        Args:
            peer: the address at the other end of its connection.
            headers: its own, which count where the peer is trusted.
        """
        address = _read(peer or "")
        if address is None:
            return CameBy(peer or "", "http")
        if not self._networks or not self._trusts(address):
            return CameBy(str(address), "http")
        scheme = _last(headers.getall("X-Forwarded-Proto", [])).lower()
        return CameBy(str(self._client(address, headers)), scheme if scheme in _SCHEMES else "http")

    def _client(self, peer: Address, headers: CIMultiDictProxy[str]) -> Address:
        client = peer
        for hop in reversed(",".join(headers.getall("X-Forwarded-For", [])).rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]):
            address = _read(hop)
            if address is None:
                break  # a proxy that knows no address says "unknown", or hides it
            client = address
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


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


def _last(values: list[str]) -> str:
    return values[-1].rpartition(",")[2].strip() if values else ""
