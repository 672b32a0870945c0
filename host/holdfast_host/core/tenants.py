"""Tenants: name spaces of one host, each of which sees nothing of the others.

A function, a function's id and a secret are kept under their own name and their tenant's, `orders.acme`; what is the
tenant `default`'s, under its own name alone, as before there were others. So two of one name are never one key. No name
of either kind has a dot in it.
"""

from __future__ import annotations

from typing import Final

from holdfast_host.core.errors import InvalidNameError
from holdfast_host.core.ids import is_function_name

DEFAULT_TENANT: Final = "default"
TENANT_HEADER: Final = "Holdfast-Tenant"
# What may be limited, and what that is in a sentence.
LIMITS: Final = {
    "instances": "stored instances",
    "bytes": "bytes of keys and values",
    "calls": "calls under way in one worker",
    "deploys": "deploys in an hour",
    "outbound": "outbound requests under way",
}


def key_of(tenant: str, name: str) -> str:
    """Under what a thing of a tenant is kept."""
    return name if tenant == DEFAULT_TENANT else f"{name}.{tenant}"


def tenant_of(key: str) -> str:
    """Whose thing is kept under that."""
    return key.partition(".")[2] or DEFAULT_TENANT


def name_of(key: str) -> str:
    """The thing's own name, as its tenant knows it."""
    return key.partition(".")[0]


def check_tenant_name(name: str) -> str:
    """The name itself, or InvalidNameError. It may be a part of a host name."""
    if not is_function_name(name):
        raise InvalidNameError(f"{name[:80]!r} is no tenant's name: [a-z][a-z0-9-]{{0,62}}")
    return name
