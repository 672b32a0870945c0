"""Limits of tenants on a running host: what is over them is refused by name, and the others go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import components
from tests.harness.caller import Answer
from tests.outside.tenant_hosts import HOMES, TenantHost, tenant_host

pytestmark = pytest.mark.slow


@pytest.fixture(params=HOMES)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TenantHost]:
    """A host on which `acme` has what the default tenant has."""
    with tenant_host(tmp_path, request.param) as host:
        host.make("acme")
        for tenant in (None, "acme"):
            host.deploy(components.built(components.GUESTS / "web"), tenant)
            host.call(tenant, "Desk", "front", "note", "there before")
        yield host


def limit(host: TenantHost, **limits: int) -> None:
    host.done("PUT", "/v1/tenants/acme", {"limits": limits})


def note(host: TenantHost, tenant: str | None, name: str) -> Answer:
    return host.ask("POST", f"/v1/actors/Desk/{name}/note", ["x"], tenant=tenant)


def until(ask: Callable[[], Answer], status: int) -> Answer:
    """What is stored is counted once a second."""
    ends_at = time.monotonic() + 20
    while (answer := ask()).status != status:
        assert time.monotonic() < ends_at, answer
        time.sleep(0.1)
    return answer


def message(answer: Answer) -> str:
    return str(answer.value["error"]["message"])


def test_past_its_instances_a_tenant_gets_no_new_ones_and_those_that_are_there_go_on(host: TenantHost) -> None:
    limit(host, instances=1)
    refused = until(lambda: note(host, "acme", "second"), 507)

    assert refused.error == "StorageFullError"
    assert "the limit is 1" in message(refused)
    assert note(host, "acme", "front").status == 200
    assert note(host, None, "second").status == 200, "of the default tenant"
    [acme] = [each for each in host.done("GET", "/v1/tenants")["tenants"] if each["name"] == "acme"]
    assert (acme["limits"], acme["stored"]["instances"] >= 1) == ({"instances": 1}, True)
    limit(host)
    until(lambda: note(host, "acme", "third"), 200)


def test_past_its_bytes_a_tenant_stores_no_more_deletes_and_goes_on(host: TenantHost) -> None:
    limit(host, bytes=1)
    refused = until(lambda: note(host, "acme", "front"), 507)
    read = host.ask("POST", "/v1/actors/Desk/front/known", [], tenant="acme")
    deleted = host.ask("DELETE", "/v1/instances/Desk/front", tenant="acme")

    assert refused.error == "StorageFullError"
    assert "deletes still work" in message(refused)
    assert read.status == 200
    assert deleted.status < 300
    assert note(host, None, "front").status == 200
    until(lambda: note(host, "acme", "front"), 200)


def test_past_its_deploys_of_an_hour_a_tenant_waits_and_is_told_how_long(host: TenantHost) -> None:
    limit(host, deploys=0)
    component = components.built(components.GUESTS / "web")
    with pytest.raises(AssertionError, match=r"DeployQueueFullError.*the limit is 0"):
        host.deploy(component, "acme")
    host.deploy(component)
    limit(host, deploys=1000)
    host.deploy(component, "acme")


def test_past_its_calls_a_tenant_is_told_to_come_again_while_others_call(host: TenantHost) -> None:
    limit(host, calls=1)
    spin = "/v1/actors/Desk/busy/spin"
    busy = threading.Thread(target=lambda: until(lambda: host.ask("POST", spin, [2.0], tenant="acme"), 200))
    busy.start()
    refused = until(lambda: note(host, "acme", "front"), 429)
    other = note(host, None, "front")
    busy.join()

    assert refused.error == "MailboxFullError"
    assert "of the tenant 'acme'" in message(refused)
    assert other.status == 200
    assert note(host, "acme", "front").status == 200, "what is answered counts no more"


def test_limits_outlive_a_restart(host: TenantHost) -> None:
    limit(host, calls=0, instances=1)
    host.host.stop()
    host.host.start()

    assert note(host, "acme", "front").status == 429
    assert note(host, None, "front").status == 200


@pytest.mark.parametrize("host", ["files"], indirect=True)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"limits": {"cups": 1}}, "'cups' is no limit of a tenant: these are instances, bytes, calls"),
        ({"limits": {"calls": -1}}, "write 0 to"),
        ({"limits": {"calls": "many"}}, "calls"),
        ({"limits": {"calls": True}}, "calls"),
        ({"limits": 5}, "limits"),
        ({"limits": None}, "limits"),
        ({"limit": {}}, "the body is nothing"),
    ],
)
def test_what_is_no_limit_is_refused_by_name(host: TenantHost, body: Any, says: str) -> None:
    refused = host.ask("PUT", "/v1/tenants/acme", body)

    assert (refused.status, says in message(refused)) == (400, True), refused
    assert host.done("GET", "/v1/tenants/acme")["limits"] == {}
