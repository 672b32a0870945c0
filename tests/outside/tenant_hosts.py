"""A running host with tenants, and who asks it: for tests of what they see of each other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.caller import Answer
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.postgres import store_options

BOOTSTRAP = "correct-horse-battery-staple"
HOMES: dict[str, Callable[[], tuple[str, ...]]] = {"files": tuple, "store": store_options}


class TenantHost:
    """A host with a token of its own; `ask` is its operator, for a tenant or for none."""

    def __init__(self, host: HostProcess) -> None:
        self.host = host

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        tenant: str | None = None,
        token: str | None = BOOTSTRAP,
        **headers: str,
    ) -> Answer:
        """One request; the body is sent as JSON."""
        shown = {} if token is None else {"Authorization": f"Bearer {token}"}
        named = {} if tenant is None else {"Holdfast-Tenant": tenant}
        with self.host.caller() as caller:
            return caller.request(
                method, path, None if body is None else json.dumps(body), {**shown, **named, **headers}
            )

    def done(self, method: str, path: str, body: Any = None, **asked: Any) -> Any:
        """What is answered to a request that succeeds."""
        answer = self.ask(method, path, body, **asked)
        assert answer.status < 300, (method, path, answer)
        return answer.value

    def call(self, tenant: str | None, actor_type: str, name: str, method: str, *arguments: Any) -> Any:
        """What a method returns."""
        return self.done("POST", f"/v1/actors/{actor_type}/{name}/{method}", list(arguments), tenant=tenant)

    def make(self, name: str) -> None:
        """Make a tenant."""
        assert self.ask("PUT", f"/v1/tenants/{name}").status == 201

    def token(self, scope: str, tenant: str | None = None, **more: Any) -> str:
        """Make a token."""
        made = self.done("POST", "/v1/tokens", {"scope": scope, "tenant": tenant, **more})
        return str(made["token"])

    def deploy(self, component: TestComponent, tenant: str | None = None) -> dict[str, Any]:
        """Deploy for a tenant."""
        named = {} if tenant is None else {"Holdfast-Tenant": tenant}
        return deploy(self.host, component, {"Authorization": f"Bearer {BOOTSTRAP}", **named})

    def expired(self, scope: str, tenant: str) -> str:
        """A token of a tenant that has just expired."""
        token, ends_at = self.token(scope, tenant, expires_s=1), time.monotonic() + 5
        while self.ask("GET", "/v1/token", token=token).status != 401:
            assert time.monotonic() < ends_at
        return token


@contextmanager
def tenant_host(folder: Path, home: str, *options: str) -> Iterator[TenantHost]:
    """A new host with one front and one worker, whose storage and registry are in one of `HOMES`."""
    options = ("--workers", "1", "--fronts", "1", *HOMES[home](), *options)
    with HostProcess(folder / "data", *options, environment={"HOLDFAST_TOKEN": BOOTSTRAP}) as host:
        yield TenantHost(host)
