"""Where outbound requests may go, as manifests and operators write it.

    https://api.stripe.com        one host, at the port of its scheme
    https://*.example.com:8443    every host below that domain, not the domain itself, at that port
    https://api.example.com/v2/   what lies under that path alone
    https://*                     every host at every port

A pattern says nothing of addresses: to which of them a name may lead is judged where a socket is made (`courier`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

NONE: Final = "none"
ANY_HOST: Final = "*"
PORTS: Final = {"http": 80, "https": 443}

PLATFORM_ADDRESS: Final = "168.63.129.16"  # Azure's, which machines there reach though it looks global

PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")  # where a secret goes in a header's text

PATTERNS_MAX: Final = 100  # of one manifest

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_CHARS_MAX: Final = 8_192
_COURIERS_HEADERS: Final = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
        "proxy-authorization", "te", "trailer", "upgrade", "expect", "accept-encoding",
    }
)  # fmt: skip
_PATTERN: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^/:\[\]]+)(?::(\d{1,5}))?(/[!-~]*)?")
_HOST: Final = re.compile(r"(?:\*\.)?(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_DOTS: Final = frozenset({".", ".."})


class PatternError(ValueError):
    """A pattern that breaks a rule; its text says which, and begins with the pattern."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes: the parts of its URL as they are sent."""

    scheme: str
    host: str  # in lower case, IDNA-encoded; an IPv6 address without brackets
    port: int
    path: str
    is_plain: bool = True  # its path has no dot segments and no escaped slashes: it means what it says to every server

    @property
    def origin(self) -> str:
        """`https://api.stripe.com`, with the port where it is not the scheme's own."""
        return origin_text(self.scheme, self.host, self.port)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; `port` is None where every port will do, `path` empty where every path."""

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read one; PatternError where it is none."""
        found = _PATTERN.fullmatch(text.strip())
        if found is None or "@" in found[2]:
            raise PatternError(
                f"{text!r:.200} is no pattern like 'https://api.example.com' or 'https://*.example.com/v2/'"
            )
        scheme, host, port, path = found[1], found[2].lower(), found[3], found[4] or ""
        if host.startswith("["):
            host = _ipv6(text, host[1:-1])
        elif host != ANY_HOST and not _HOST.fullmatch(host):
            raise PatternError(
                f"{text!r:.200} has the host {host!r:.80}: write it in ASCII; '*.' may stand before it, and a lone '*' "
                "for every host"
            )
        if port is not None and not 1 <= int(port) <= 65535:
            raise PatternError(f"{text!r:.200} has the port {port}, it must be 1 to 65535")
        if path and (not _PATH.fullmatch(path) or _DOTS & set(path.split("/"))):
            raise PatternError(
                f"{text!r:.200} has a path with a query, an escape or a dot segment: no pattern has those"
            )
        default = None if host == ANY_HOST else PORTS[scheme]
        return cls(scheme, host, default if port is None else int(port), "" if path == "/" else path)

    def covers(self, other: Pattern) -> bool:
        """Whether all that the other one matches is matched by this one."""
        return (
            self.scheme == other.scheme
            and (self.port is None or self.port == other.port)
            and self._covers_host(other.host)
            and self._has_path(other.path)
        )

    def matches(self, target: Target) -> bool:
        """Whether a request may go there; under a path only where its path means what it says."""
        return (
            self.scheme == target.scheme
            and (self.port is None or self.port == target.port)
            and self._covers_host(target.host)
            and self._has_path(target.path)
            and (not self.path or target.is_plain)
        )

    def _covers_host(self, host: str) -> bool:
        if self.host == ANY_HOST or self.host == host:
            return True
        return self.host.startswith("*.") and host.endswith(self.host[1:]) and host != self.host[1:]

    def _has_path(self, path: str) -> bool:
        if not self.path or path == self.path:
            return True
        return path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")


def read_allow(value: Any) -> tuple[str, ...]:
    """A manifest's `[outbound] allow`; PatternError where it is no list of patterns."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PatternError('allow is no list of strings, like allow = ["https://api.example.com"]')
    if len(value) > PATTERNS_MAX:
        raise PatternError(f"{len(value)} patterns in allow, the limit is {PATTERNS_MAX}")
    for each in value:
        Pattern.parse(each)
    return tuple(value)


def read_filled_headers(value: Any, allow: Sequence[str]) -> dict[str, dict[str, str]]:
    """A manifest's `[outbound.headers."ORIGIN"]`, by origin in its one spelling; PatternError where it breaks a rule.

    Only for origins that the function may ask: anything else is a mistake in one of the two.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > PATTERNS_MAX:
        raise PatternError(f"headers is no table of at most {PATTERNS_MAX} origins")
    patterns = [Pattern.parse(each) for each in allow]
    found: dict[str, dict[str, str]] = {}
    for text, headers in value.items():
        asked = Pattern.parse(origin := read_origin(text))
        if not any(replace(each, path="").covers(asked) for each in patterns):
            raise PatternError(f"headers for {text!r:.200}, an origin that allow does not list")
        if not isinstance(headers, dict) or not all(isinstance(each, str) for each in headers.values()):
            raise PatternError(
                f'headers for {text!r:.200} that are no texts, like Authorization = "Bearer {{API_KEY}}"'
            )
        for name, header in headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _COURIERS_HEADERS:
                raise PatternError(f"{name!r:.80} for {text!r:.200}, which is no header that can be filled in")
            if not header.isprintable() or len(header) > _HEADER_CHARS_MAX:
                raise PatternError(f"{name} for {text!r:.200} with a text that no header can have")
        found.setdefault(origin, {}).update(headers)
    return found


def read_origin(text: str) -> str:
    """An origin, `https://api.stripe.com` or with its port, in the spelling of `Target.origin`.

    Raises:
        PatternError: it is none.
    """
    pattern = Pattern.parse(text)
    if pattern.path or pattern.host.startswith("*") or pattern.port is None:
        raise PatternError(f"{text!r:.200} is no origin like 'https://api.example.com': it names one host and no path")
    return origin_text(pattern.scheme, pattern.host, pattern.port)


def origin_text(scheme: str, host: str, port: int) -> str:
    """The one spelling of an origin."""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port == PORTS[scheme] else f"{scheme}://{shown}:{port}"


def is_plain_path(path: str) -> bool:
    """Whether a path, as it was written, has no dot segments, and no escaped slashes, backslashes or percent signs.

    An escaped percent sign would become any of the others for a server that unescapes twice.
    """
    lowered = path.lower()
    if "%25" in lowered or "%2f" in lowered or "%5c" in lowered or "\\" in lowered:
        return False
    segments = lowered.replace("%2e", ".").split("/")
    return not any(segment.partition(";")[0] in _DOTS for segment in segments)


def _ipv6(text: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise PatternError(f"{text!r:.200} has the host [{host}], which is no IPv6 address") from None
