"""Deploys to a host of a test, over HTTP as any client would."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.harness.caller import Answer
from tests.harness.components import TestComponent, compiled_once
from tests.harness.host import HostProcess


def deploy(host: HostProcess, component: TestComponent, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Deploy a built component with its manifest; what the host answers. The headers say who deploys, and for whom."""
    with compiled_once(component.component, host.data):
        answer = try_to_deploy(host, component, headers)
    assert answer.status in {200, 201}, answer
    facts: dict[str, Any] = answer.value
    return facts


def next_version(component: TestComponent, folder: Path) -> TestComponent:
    """The same with one variable more; its manifest is written into the folder."""
    manifest = folder / "next.toml"
    manifest.write_text(component.manifest.read_text().replace("[vars]", '[vars]\nOF_THE_NEXT_VERSION = "yes"'))
    return replace(component, manifest=manifest)


def try_to_deploy(host: HostProcess, component: TestComponent, further: dict[str, str] | None = None) -> Answer:
    """Deploy it where that may fail, and let the host compile it itself."""
    boundary = uuid.uuid4().hex
    parts = {"manifest": component.manifest, "component": component.component}
    body = b"".join(_part(boundary, name, path) for name, path in parts.items()) + f"--{boundary}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}", **(further or {})}
    with host.caller(timeout_s=180.0) as caller:
        return caller.request("PUT", f"/v1/functions/{component.function}", body, headers)


def _part(boundary: str, name: str, path: Path) -> bytes:
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
    return head.encode() + path.read_bytes() + b"\r\n"
