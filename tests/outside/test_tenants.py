"""Tenants of one host, each with the same names: whatever one does, the others have not done."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import components
from tests.harness.host import HostProcess
from tests.outside.tenant_hosts import HOMES, TenantHost, tenant_host

TENANTS = (None, "acme", "blue")


@pytest.fixture(params=HOMES)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TenantHost]:
    """A host on which three tenants have deployed one project: one name, one func_id, one type."""
    web = components.built(components.GUESTS / "web")
    with tenant_host(tmp_path, request.param) as host:
        for tenant in TENANTS:
            if tenant is not None:
                host.make(tenant)
            host.deploy(web, tenant)
        yield host


def function(host: HostProcess, name: str, path: str, *, by_path: bool = False) -> Any:
    """What a function answers, under its host name or by its path."""
    with host.caller() as caller:
        if by_path:
            return caller.request("GET", f"/fn/{name}/{path}").value
        return caller.request("GET", f"/{path}", None, {"Host": f"{name}.localhost"}).value


@pytest.mark.slow
def test_equal_names_of_tenants_never_collide(host: TenantHost) -> None:
    """Functions, ids, types, instances, secrets, logs and addresses of one name are one's own, also after a restart."""
    shown = {tenant: host.done("GET", "/v1/functions/web", tenant=tenant) for tenant in TENANTS}
    for tenant in TENANTS:
        for number in range(len(tenant or "")):
            host.call(tenant, "Desk", "front", "note", f"{tenant} {number}")
        host.done("PUT", "/v1/secrets/API_KEY", {"value": f"key of {tenant}"}, tenant=tenant)

    assert {each["func_id"] for each in shown.values()} == {"fn_e80180e3f2a3b5518c3360ad"}
    assert {each["name"] for each in shown.values()} == {"web"}
    assert [shown[tenant]["url"].rpartition(":")[0] for tenant in TENANTS] == [
        "http://web.localhost", "http://web.acme.localhost", "http://web.blue.localhost"
    ]  # fmt: skip
    for restarted in (False, True):
        if restarted:
            host.host.stop()
            host.host.start()
        for tenant, address in zip(TENANTS, ("web", "web.acme", "web.blue"), strict=True):
            stored = host.done("GET", "/v1/instances/Desk/front/storage", tenant=tenant) if tenant else {"entries": []}
            expected = [f"{tenant} {number}" for number in range(len(tenant or ""))]
            assert stored["entries"] == ([{"key": "notes", "value": expected}] if expected else [])
            assert host.call(tenant, "Desk", "front", "known")["API_KEY"] == f"key of {tenant}"
            assert function(host.host, address, "environment")["API_KEY"] == f"key of {tenant}"
            assert function(host.host, address, "environment", by_path=True)["API_KEY"] == f"key of {tenant}"
            url = function(host.host, address, "seen", by_path=True)["url"]
            assert url.partition(":" + host.host.url.rpartition(":")[2])[0] == f"http://{address}.localhost"


@pytest.mark.slow
def test_each_reads_its_own_lines_of_the_log(host: TenantHost) -> None:
    for tenant in TENANTS:
        host.ask("POST", f"/v1/actors/Desk/{tenant or 'default'}/fail", tenant=tenant)
    for tenant in TENANTS:
        for query in ("", "type=Desk", "function=web", f"type=Desk&name={tenant or 'default'}"):
            answer = host.ask("GET", f"/v1/logs?{query}", tenant=tenant)
            lines = [json.loads(each) for each in answer.text.splitlines()]
            assert {each["name"] for each in lines} == {tenant or "default"}, (tenant, query)
            assert {each["function"] for each in lines} == {"web"}


@pytest.mark.slow
def test_a_tenant_is_deleted_once_it_has_nothing_and_its_tokens_and_secrets_go_with_it(host: TenantHost) -> None:
    token = host.token("admin", "acme")
    host.call("acme", "Desk", "front", "note", "x")
    host.done("PUT", "/v1/secrets/API_KEY", {"value": "hush"}, tenant="acme")
    deployed = host.ask("DELETE", "/v1/tenants/acme")
    host.done("DELETE", "/v1/functions/web", tenant="acme")
    stored = host.ask("DELETE", "/v1/tenants/acme")
    host.deploy(components.built(components.GUESTS / "web"), "acme")
    host.done("DELETE", "/v1/instances/Desk/front", tenant="acme")
    host.done("DELETE", "/v1/functions/web", tenant="acme")
    gone = host.done("DELETE", "/v1/tenants/acme")

    assert (deployed.error, "has functions: delete web first" in deployed.text) == ("TenantInUseError", True)
    assert (stored.error, "has instances of Desk" in stored.text) == ("TenantInUseError", True)
    assert gone["name"] == "acme"
    assert host.ask("GET", "/v1/functions", tenant="acme").error == "UnknownTenantError"
    assert host.ask("GET", "/v1/token", token=token).status == 401
    assert host.ask("DELETE", "/v1/tenants/default").error == "BadRequestError"
    host.make("acme")
    assert host.done("GET", "/v1/secrets", tenant="acme") == {"secrets": []}
    assert host.done("GET", "/v1/undeployed", tenant="acme") == {"actors": []}
    assert host.done("GET", "/v1/functions/web")["name"] == "web", "what others have stays"
    assert host.call("blue", "Desk", "front", "note", "y") == 1


@pytest.mark.slow
def test_an_administrator_of_a_tenant_makes_lists_and_revokes_its_tokens_alone(host: TenantHost) -> None:
    admin, other = host.token("admin", "acme"), host.done("POST", "/v1/tokens", {"scope": "call", "tenant": "blue"})
    made = host.done("POST", "/v1/tokens", {"scope": "call"}, token=admin)
    for_other = host.ask("POST", "/v1/tokens", {"scope": "call", "tenant": "blue"}, token=admin)
    listed = host.done("GET", "/v1/tokens", token=admin)["tokens"]
    by_operator = host.done("GET", "/v1/tokens")["tokens"]
    revoked = host.ask("DELETE", f"/v1/tokens/{other['id']}", token=admin)

    assert made["tenant"] == "acme"
    assert for_other.error == "ForbiddenError"
    assert [each["tenant"] for each in listed] == ["acme", "acme"]
    assert [each["tenant"] for each in by_operator] == ["acme", "blue", "acme"]
    assert (revoked.status, revoked.error) == (404, "UnknownTokenError")
    assert host.done("GET", "/v1/token", token=admin)["tenant"] == "acme"
    for path in ("/v1/hosts", "/v1/tenants", "/v1/debug/workers"):
        refused = host.ask("GET", path, token=admin)
        assert (refused.status, refused.error) == (403, "ForbiddenError"), path
        assert "of the whole host" in refused.value["error"]["message"]


@pytest.mark.slow
def test_each_tenant_reads_its_own_metrics_and_the_host_those_of_all_under_names_of_their_own(host: TenantHost) -> None:
    """Of types of one name too: two series with the same labels would be taken for one."""
    tokens = {tenant: host.token("read", tenant) for tenant in ("default", "acme", "blue")}
    for tenant, calls in ((None, 1), ("acme", 2), ("blue", 3)):
        for _ in range(calls):
            host.call(tenant, "Desk", "front", "note", "x")
        function(host.host, "web" if tenant is None else f"web.{tenant}", "seen", by_path=True)
    host.done("PUT", "/v1/tenants/acme", {"limits": {"calls": 7}})

    def series(text: str, name: str) -> list[tuple[dict[str, str], float]]:
        [family] = [each for each in text_string_to_metric_families(text) if each.name == name]
        return [(each.labels, each.value) for each in family.samples if not each.name.endswith("_created")]

    for (tenant, token), calls in zip(tokens.items(), (1, 2, 3), strict=True):
        text = host.ask("GET", "/metrics", token=token).text
        found = {labels["type"]: value for labels, value in series(text, "holdfast_calls")}
        assert found == {"Desk": calls, "fn web": 1}, tenant
        assert {labels["limit"] for labels, _ in series(text, "holdfast_tenant_limit")} == (
            {"calls"} if tenant == "acme" else set()
        )
        assert not {"acme", "blue"} - {tenant} & set(re.findall(r"\w+", text)), "nothing of others"
        assert "private_bytes" not in text, "nor of the machine"
        by_operator = host.ask("GET", "/metrics", tenant=tenant).text
        assert series(by_operator, "holdfast_calls") == series(text, "holdfast_calls")
    whole = host.ask("GET", "/metrics").text
    lines = [each.rpartition(" ")[0] for each in whole.splitlines() if not each.startswith("#")]
    assert len(lines) == len({*lines})
    assert {labels["type"] for labels, _ in series(whole, "holdfast_calls")} == {
        "Desk", "Desk.acme", "Desk.blue", "fn web", "fn web.acme", "fn web.blue"
    }  # fmt: skip


@pytest.mark.slow
def test_each_tenant_reads_its_own_lines_of_the_audit_log(host: TenantHost) -> None:
    tokens = {tenant: host.done("POST", "/v1/tokens", {"scope": "admin", "tenant": tenant}) for tenant in TENANTS[1:]}
    for tenant, token in tokens.items():
        host.done("PUT", f"/v1/secrets/OF_{tenant.upper()}", {"value": "x"}, token=token["token"])
    host.done("PUT", "/v1/secrets/BY_OPERATOR", {"value": "x"}, tenant="acme")

    def lines(**asked: Any) -> list[dict[str, Any]]:
        return [json.loads(each) for each in host.ask("GET", "/v1/audit", **asked).text.splitlines()]

    seen = lines(token=tokens["acme"]["token"])
    ended = [(each["token"], each["what"], each["object"]) for each in seen if each["event"] == "ended"]
    assert ended == [
        ("host", "deployFunction", "/v1/functions/web"),
        (tokens["acme"]["id"], "setSecret", "/v1/secrets/OF_ACME"),
        ("host", "setSecret", "/v1/secrets/BY_OPERATOR"),
    ]
    assert {each["client"] for each in seen if each["token"] == "host"} == {""}
    assert lines(tenant="acme") == seen
    assert len(lines()) > 2 * len(seen), "an operator sees all"
    default = host.token("read", "default")
    assert {each["what"] for each in lines(token=default)} == {"deployFunction"}


@pytest.mark.slow
def test_a_refused_token_of_a_tenant_is_in_its_own_log_and_a_wrong_one_in_the_hosts_alone(host: TenantHost) -> None:
    reader = host.done("POST", "/v1/tokens", {"scope": "read", "tenant": "acme", "name": "dashboard"})
    assert host.ask("DELETE", "/v1/functions/web", token=reader["token"]).status == 403
    assert host.ask("GET", "/v1/functions", token="no-token").status == 401

    def refused(**asked: Any) -> list[tuple[Any, ...]]:
        lines = [json.loads(each) for each in host.ask("GET", "/v1/audit", **asked).text.splitlines()]
        return [(e["status"], e["token"], e["object"]) for e in lines if e["event"] == "refused"]

    of_acme = (403, reader["id"], "DELETE /v1/functions/web")
    ends_at = time.monotonic() + 20
    while len(refused()) < 2:  # a front tells within a second
        assert time.monotonic() < ends_at
        time.sleep(0.1)
    assert sorted(refused()) == [(401, "", "GET /v1/functions"), of_acme]
    assert refused(token=reader["token"]) == [of_acme]
    assert refused(tenant="blue") == []
