"""The inspector under a tenant's token: what is the tenant's, and nothing of the machine or of others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.harness import components
from tests.harness.browser import Page, chromium
from tests.harness.inspected import show
from tests.outside.tenant_hosts import TenantHost, tenant_host


def sign_in(page: Page, host: TenantHost, token: str) -> None:
    page.go(f"{host.host.url}/ui")
    page.until("document.querySelector('[name=token]') !== null")
    how = json.dumps({"method": "POST", "headers": {"Authorization": f"Bearer {token}", "Holdfast-Inspector": "1"}})
    page.run(f"fetch('/ui/session', {how}).then((answer) => {{ window.signedIn = answer.status; }}); 0")
    page.until("window.signedIn < 300")


def texts(page: Page, selector: str) -> Any:
    return page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.innerText)")


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="`make apt` installs chromium"),
]


def test_a_tenant_sees_its_own_numbers_and_functions_and_is_offered_no_page_of_the_host(tmp_path: Path) -> None:
    seen: dict[str, tuple[Any, ...]] = {}
    with tenant_host(tmp_path, "files") as host:
        for tenant in ("acme", "blue"):
            host.make(tenant)
        host.deploy(components.built(components.GUESTS / "web"), "acme")
        host.call("acme", "Desk", "front", "note", "x")
        for tenant in ("acme", "blue"):
            with chromium(tmp_path / tenant) as browser:
                page = browser.open("about:blank")
                sign_in(page, host, host.token("admin", tenant))
                show(page, host.host, "")
                page.until("/^[0-9]/.test(document.querySelector('.facts dd')?.innerText ?? '')")
                numbers = texts(page, ".facts dt"), texts(page, ".facts dd")
                pages = texts(page, "#nav a:not([hidden])")
                show(page, host.host, "functions")
                page.until("document.querySelector('.view td, .view .empty') !== null")
                seen[tenant] = *numbers, pages, "web" in page.run("document.querySelector('.view').innerText").split()

    for tenant, calls, has_web in (("acme", "1", True), ("blue", "0", False)):
        labels, values, pages, shows_web = seen[tenant]
        assert labels == ["Calls answered", "Activations"]
        assert values == [calls, calls]
        assert "Functions" in pages
        assert "Hosts" not in pages
        assert shows_web == has_web
