"""What of the audit log a tenant sees: the changes of what is its own, whoever made them.

A change that a token of the host has made says so, and not which token, whose, or from where. What is done for the host
as a whole is no tenant's, and so are its tokens: also where it was done before lines said whose they are.
"""

from __future__ import annotations

from typing import Final

from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tenants import DEFAULT_TENANT
from holdfast_host.core.tokens import ANONYMOUS, BOOTSTRAP

# Changes that are no tenant's where the line names none.
OF_HOST: Final = frozenset(
    ("takeBackup", "makeTenant", "deleteTenant", "createToken", "rotateToken", "revokeToken", "refuse"),
)
HOST: Final = "host"  # in place of the id of a token of the host


def as_seen_by(tenant: str, line: JsonObject) -> JsonObject | None:
    """The line as a tenant may see it; None where it is not the tenant's."""
    named, what = line.get("tenant"), line.get("what")
    if (named or (DEFAULT_TENANT if what is not None and what not in OF_HOST else None)) != tenant:
        return None
    if named is None or line.get("by_host") or line.get("token") in {ANONYMOUS, BOOTSTRAP}:
        return {**line, "token": HOST, "name": "", "client": ""}
    return line
