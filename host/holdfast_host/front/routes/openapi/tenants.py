"""The API's description, of tenants; and of the header with which an administrator of the host acts for one."""

from __future__ import annotations

from typing import Any, Final

from holdfast_host.core.tenants import LIMITS, TENANT_HEADER
from holdfast_host.front.routes.openapi.parts import JSON, operation, parameter

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
            "put": _make(),
            "delete": operation("deleteTenant", "Delete a tenant that has no functions and no instances.", 200),
        },
    }


def _make() -> dict[str, Any]:
    limit = {"type": "integer", "minimum": 0, "maximum": 10**15}
    limits = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {**limit, "description": f"At most so many {what}."} for name, what in LIMITS.items()},
        "description": "In the place of those that it has: what is left out has no limit.",
    }
    schema = {"type": "object", "additionalProperties": False, "properties": {"limits": limits}}
    summary = "Make a tenant, or set what one that is there may have and do at most."
    body = {"required": False, "content": {JSON: {"schema": schema}}}
    return operation("makeTenant", summary, 200, 201, requestBody=body)
