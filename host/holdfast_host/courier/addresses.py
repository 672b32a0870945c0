"""Which addresses the courier may connect to: global unicast ones of others, by the host's own table.

The standard library's `is_global` is not asked: it takes addresses that carry another one (NAT64, 6to4, Teredo) for
what they look like, and `fec0::/10` for global. What carries an IPv4 address is judged by that, where the network will
unwrap it, or refused.

`judge` is asked where a socket is made, for every dial: whatever name, literal or redirect led there, and whatever a
resolver said before.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from holdfast_host.core.outbound import PLATFORM_ADDRESS, Target

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's registries of special-purpose addresses (2026), with what was given back or is not unicast.
_IPV4_NOT_GLOBAL: Final = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_IPV6_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_IPV6_NOT_GLOBAL: Final = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, among them Teredo (2001::/32) and ORCHID
        "2001:db8::/32", "3fff::/20",  # documentation
        "2002::/16",  # 6to4
        "3ffe::/16",  # given back
    )
)  # fmt: skip
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # 64:ff9b:1::/48 has no known place for its IPv4 address: refused
_LINK_LOCAL: Final = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))
_PLATFORM: Final = ipaddress.IPv4Address(PLATFORM_ADDRESS)
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})  # the upper half of an interface's number that carries IPv4


class AddressRefusedError(OSError):
    """The courier does not connect there; the text names the address and says why."""


@dataclass(frozen=True, slots=True)
class PrivateAccess:
    """The operator's exceptions (`--outbound-private`): addresses, at every port or at one, and names with a port."""

    addresses: frozenset[tuple[str, int | None]] = field(default_factory=frozenset)
    names: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    @classmethod
    def of(cls, grants: Iterable[tuple[str, int | None]]) -> PrivateAccess:
        """From pairs of host and port, as the configuration has read them."""
        addresses: set[tuple[str, int | None]] = set()
        names: set[tuple[str, int]] = set()
        for host, port in grants:
            try:
                addresses.add((str(ipaddress.ip_address(host)), port))
            except ValueError:
                names.add((host, port or 0))
        return cls(frozenset(addresses), frozenset(names))

    def allows(self, address: _Address, port: int, target: Target | None) -> bool:
        """Whether this address may be dialled at this port for a request to this target."""
        text = str(address)
        if (text, None) in self.addresses or (text, port) in self.addresses:
            return True
        return target is not None and target.port == port and (target.host, port) in self.names


def judge(host: str, port: int, private: PrivateAccess, target: Target | None) -> None:
    """Return when a socket to this address may be made.

    Args:
        host: the address that will be dialled, as a resolver or a literal gave it.
        port: the port.
        private: the operator's exceptions.
        target: what the request is for.

    Raises:
        AddressRefusedError: it may not.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    carried = _unwrap(address)
    if _is_link_local(carried) or carried == _PLATFORM:
        raise AddressRefusedError(f"{_shown(address, carried)} is link-local or the platform's own: it is never asked")
    if private.allows(carried, port, target):
        return
    if not _is_global(carried):
        raise AddressRefusedError(f"{_shown(address, carried)} is no global unicast address")
    if is_own(carried):
        raise AddressRefusedError(f"{_shown(address, carried)} is an address of this machine")


def is_own(address: _Address) -> bool:
    """Whether an interface of this machine has the address now: the kernel lets a socket be bound to those alone.

    Where that cannot be found out (no descriptor is left), or anything may be bound (`ip_nonlocal_bind`), it counts as
    one. A socket that is connected instead would not tell: of a second address the kernel names the first as source.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
    return True


def _unwrap(address: _Address) -> _Address:
    """The IPv4 address to which the network takes this one, where it carries one; else itself."""
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_link_local(address: _Address) -> bool:
    return any(address.version == network.version and address in network for network in _LINK_LOCAL)


def _is_global(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _IPV4_NOT_GLOBAL)
    if address not in _IPV6_GLOBAL or any(address in network for network in _IPV6_NOT_GLOBAL):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP


def _shown(address: _Address, carried: _Address) -> str:
    return str(address) if address == carried else f"{address} (which is {carried})"
