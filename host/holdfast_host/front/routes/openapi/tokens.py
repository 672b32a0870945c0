"""The API's description, of tokens."""

from __future__ import annotations

from typing import Any, Final

from holdfast_host.core.tokens import Scope
from holdfast_host.front.routes.openapi.parts import JSON, operation, parameter

_ID: Final = parameter("id", "The token's id, which stands in the token too.", type="string", pattern="^[a-z2-7]{10}$")


def describe_tokens() -> dict[str, Any]:
    """`/v1/tokens`, and `/v1/token`."""
    return {
        "/v1/token": {
            "get": operation("showOwnToken", "What the token that the request shows is, and may.", 200),
        },
        "/v1/tokens": {
            "get": operation("listTokens", "The tokens that were made here, without their texts.", 200),
            "post": _create(),
        },
        "/v1/tokens/{id}": {
            "parameters": [_ID],
            "delete": operation("revokeToken", "Revoke it: nothing is let in with it from now on.", 200),
        },
        "/v1/tokens/{id}/rotate": {
            "parameters": [_ID],
            "post": operation("rotateToken", "Another text for it, shown once; the old one is over at once.", 200),
        },
    }


def _create() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["scope"],
        "additionalProperties": False,
        "properties": {
            "scope": {"type": "string", "enum": [*Scope]},
            "name": {"type": "string", "maxLength": 64, "description": "A label, for people."},
            "types": {
                "type": "array",
                "maxItems": 100,
                "items": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,31}$"},
                "description": "Of scope call: the actor types that it may call; all, where none is given.",
            },
            "expires_s": {
                "type": "integer",
                "minimum": 1,
                "maximum": 315_360_000,
                "description": "For how many seconds it holds; for ever, where none is given.",
            },
            "tenant": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9-]{0,62}$",
                "description": "Whose it is; the host's, where none is given. Of a tenant's administrator: its own.",
            },
        },
    }
    body = {"required": True, "content": {JSON: {"schema": schema}}}
    return operation("createToken", "Make a token; it is shown in this answer, and never again.", 201, requestBody=body)
