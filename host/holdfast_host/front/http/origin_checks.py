"""Requests that a web page made its reader's browser send: refused.

A host on loopback without a token trusts whoever can reach it, and any page that the operator visits can: by a request
across origins, or by a name of its own that it has pointed at 127.0.0.1. The second shows in the Host header, which
must be a name that this host goes by; the first in `Origin` and `Sec-Fetch-Site`, which only browsers send, and which
must be our own wherever the management API is meant. Programs that are no browsers notice nothing of it.

Functions are public: other origins may call them; the check of Host holds for them too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

from holdfast_host.core.errors import BadRequestError, ForbiddenError

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s/@\[\]]+)(?::(\d{0,5}))?")
_OWN_SITES: Final = ("same-origin", "none")  # "none": typed into the address bar
_REMEMBERED_MAX: Final = 64


class OriginChecks:
    """Which Host and Origin values pass. One per front; keeps the few good Host values that it has seen."""

    def __init__(self, domain: str, allowed_hosts: Iterable[str] = ()) -> None:
        """`domain` with all names below it, and `allowed_hosts` as the operator gave them, are ours."""
        self._domain = domain.lower()
        self._names = {"localhost", self._domain, *(name.lower() for name in allowed_hosts)}
        self._passed: set[str] = set()

    def check_host(self, host: str | None) -> None:
        """Return when a request for this host, with its port or without, is for a name of ours.

        An address passes whatever it is: nobody can point an address elsewhere. So does a request of HTTP/1.0 without
        a Host, which no browser sends.

        Raises:
            BadRequestError: it is no host.
            ForbiddenError: it is another host's name.
        """
        if host is None or host in self._passed:
            return
        found = _HOST.fullmatch(host.strip())
        if found is None:
            raise BadRequestError(f"{host[:100]!r}, which the request is for, is no host")
        if not self._is_ours(found[1].lower().rstrip(".")):
            raise ForbiddenError(
                f"this host does not go by the name {found[1][:100]!r}: use the address that it listens at, or start "
                f"it with --allowed-host {found[1][:100]}"
            )
        if len(self._passed) < _REMEMBERED_MAX:
            self._passed.add(host)

    def check_origin(self, headers: Mapping[str, str], host: str | None) -> None:
        """Return when no other site's page is behind a request for this host.

        Raises:
            ForbiddenError: a page of another origin is.
        """
        site = headers.get("Sec-Fetch-Site")
        if site is not None and site.lower() not in _OWN_SITES:
            raise ForbiddenError(f"this API does not serve pages of other sites (Sec-Fetch-Site: {site[:40]})")
        origin = headers.get("Origin")
        if origin is not None and not is_same_host(origin, host or ""):
            raise ForbiddenError(f"this API does not serve pages of other origins (Origin: {origin[:100]})")

    def _is_ours(self, name: str) -> bool:
        if name in self._names or name.endswith((".localhost", f".{self._domain}")):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def is_same_host(origin: str, host: str) -> bool:
    """Whether an origin is the host itself; a proxy may have taken TLS off, so the scheme decides only on the port."""
    scheme, separator, where = origin.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return False  # "null" is a sandboxed frame's, or a file's
    usual = ":80" if scheme == "http" else ":443"
    return where.lower().removesuffix(usual) == host.strip().lower().removesuffix(usual)
