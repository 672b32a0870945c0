"""What of the audit log a tenant sees: its own changes, whoever made them, and nothing of who the operators are."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.limits import MIB
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.audit.audit_log import AuditLog
from holdfast_host.supervisor.audit.operations import Audit
from holdfast_host.supervisor.audit.tenant_lines import OF_HOST, as_seen_by
from holdfast_host.wire.control.audit import Change
from holdfast_host.wire.control.operations import BeginChange, ReadAudit

OWN: dict[str, Any] = {"token": "k3fq7wz2ab", "name": "ci", "client": "192.0.2.1", "object": "/v1/secrets/KEY"}
HIDDEN: dict[str, Any] = {"token": "host", "name": "", "client": ""}


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ({"what": "setSecret", "tenant": "acme", **OWN}, {}),
        ({"what": "createToken", "tenant": "acme", **OWN}, {}),
        ({"what": "setSecret", "tenant": "acme", **OWN, "by_host": True}, HIDDEN),
        ({"what": "setSecret", "tenant": "acme", **OWN, "token": "bootstrap"}, HIDDEN),
        ({"what": "setSecret", "tenant": "acme", **OWN, "token": "anonymous"}, HIDDEN),
        ({"what": "setSecret", "tenant": "blue", **OWN}, None),
        ({"what": "setSecret", **OWN}, None),
        ({"what": "makeTenant", **OWN}, None),
        ({"event": "damaged"}, None),
    ],
)
def test_a_tenant_sees_its_own_lines_and_of_operators_that_it_was_they(line: Any, seen: dict[str, Any] | None) -> None:
    assert as_seen_by("acme", line) == (None if seen is None else {**line, **seen})


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ({"what": "setSecret", "tenant": "default", **OWN}, {}),
        ({"what": "deployFunction", **OWN}, HIDDEN),  # of a token of the host, or from before there were tenants
        ({"what": "setSecret", "tenant": "acme", **OWN}, None),
        *(({"what": what, **OWN}, None) for what in sorted(OF_HOST)),
        ({"event": "damaged"}, None),
    ],
)
def test_the_default_tenant_sees_nothing_of_the_host_as_a_whole(line: Any, seen: dict[str, Any] | None) -> None:
    assert as_seen_by("default", line) == (None if seen is None else {**line, **seen})


def test_lines_of_a_tenant_are_found_behind_any_number_of_those_of_others(tmp_path: Path) -> None:
    """A page may have none of its own; `after` says where the next one begins."""

    async def body() -> None:
        audit = Audit(AuditLog.open(tmp_path, MIB), EventLog("debug", io.StringIO()))
        for number in range(25):
            tenant = "acme" if number in {3, 19} else "blue"
            await audit.perform(BeginChange(Change("k3fq7wz2ab", "ci", "setSecret", f"/{number}", "::1", tenant)))
        found: list[Any] = []
        pages = after = 0
        while True:
            page = await audit.perform(ReadAudit(after, 5, 0.0, "acme"))
            if page["after"] == after:
                break
            found, pages, after = [*found, *page["entries"]], pages + 1, page["after"]

        assert [each["object"] for each in found] == ["/3", "/19"]
        assert (pages, after) == (5, 25)

    asyncio.run(body())
