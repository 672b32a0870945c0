"""Deploys to a host of a test, over HTTP as any client would."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from tests.harness.components import TestComponent, compiled_once
from tests.harness.host import HostProcess


def deploy(host: HostProcess, component: TestComponent) -> dict[str, Any]:
    """Deploy a built component with its manifest; what the host answers."""
    boundary = uuid.uuid4().hex
    parts = {"manifest": component.manifest, "component": component.component}
    body = b"".join(_part(boundary, name, path) for name, path in parts.items()) + f"--{boundary}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    with compiled_once(component.component, host.data), host.caller(timeout_s=180.0) as caller:
        answer = caller.request("PUT", f"/v1/functions/{component.function}", body, headers)
    assert answer.status in {200, 201}, answer
    facts: dict[str, Any] = answer.value
    return facts


def _part(boundary: str, name: str, path: Path) -> bytes:
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
    return head.encode() + path.read_bytes() + b"\r\n"
