"""The API's description, of tenants; and of the header with which an administrator of the host acts for one."""

from __future__ import annotations

from typing import Any, Final

from holdfast_host.core.tenants import TENANT_HEADER
from holdfast_host.front.routes.openapi.parts import operation, parameter

_FORM: Final[dict[str, Any]] = {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"}
_NAME: Final = parameter("tenant", "The tenant's name.", **_FORM)
# Once for all operations but those with `x-holdfast-of-host`: each client sends it with all that it asks, or with none.
HEADER: Final = parameter(
    TENANT_HEADER,
    "For which tenant an administrator of the host acts; without it, default. A tenant's own token needs none.",
    "header",
    **_FORM,
)


def describe_tenants() -> dict[str, Any]:
    """`/v1/tenants`."""
    return {
        "/v1/tenants": {"get": operation("listTenants", "The tenants of the host.", 200)},
        "/v1/tenants/{tenant}": {
            "parameters": [_NAME],
            "get": operation("getTenant", "One tenant.", 200),
            "put": operation("makeTenant", "Make a tenant; one that is there stays as it is.", 200, 201),
            "delete": operation("deleteTenant", "Delete a tenant that has no functions and no instances.", 200),
        },
    }
