"""Where the variables of this environment send spans, and whether a collector is there."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from holdfast_host.cli.doctor.checks import Check
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.traces import name_untraced, read_traces

_WHAT: Final = "traces"
_TIMEOUT_S: Final = 2.0
_PORTS: Final = {"http": 80, "https": 443}


def collector_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """One, where they say that a host traces; none where they do not."""
    given = environment.get("HOLDFAST_TRACES") or None
    try:
        url = read_traces(given, environment)
    except ConfigurationError as error:
        yield Check.fault(_WHAT, error.message, "mend HOLDFAST_TRACES: a host does not start with it")
        return
    if unheard := name_untraced(given, environment):
        yield Check.warning(_WHAT, unheard, "mend it, or set HOLDFAST_TRACES=off")
    elif url:
        yield _reach(url)


def _reach(url: str) -> Check:
    """Whether something listens there; nothing is sent."""
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname or "", where.port or _PORTS[where.scheme]), _TIMEOUT_S).close()
    except OSError as error:
        said = f"{url}: {error.strerror or error}"
        return Check.warning(_WHAT, said, "start the collector: until then spans are lost, and nothing else")
    return Check.ok(_WHAT, f"something listens at {url}")
