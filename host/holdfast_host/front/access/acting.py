"""Which tenant a request is of: its token's, or, of a token of the host, the one that its header names.

A token of a tenant acts for that one and no other. A token of the host acts for `default`; with the scope admin it may
name another. What it may not name is answered alike, whether there is such a tenant or not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from holdfast_host.core.errors import BadRequestError, ForbiddenError, UnknownTenantError
from holdfast_host.core.tenants import DEFAULT_TENANT, TENANT_HEADER, check_tenant_name
from holdfast_host.core.tokens import Scope

if TYPE_CHECKING:
    from multidict import MultiMapping

    from holdfast_host.front.access.callers import Caller


def tenant_for(caller: Caller, headers: MultiMapping[str], known: Collection[str]) -> str | None:
    """The tenant that a request is of; None where it acts for the host, whose names are those of `default`.

    Args:
        caller: whose token it shows.
        headers: the request's.
        known: the names of all tenants.

    Raises:
        BadRequestError, InvalidNameError: it names several tenants, or none that could be.
        ForbiddenError: its token may not act for that one.
        UnknownTenantError: a token that may act for every tenant names one that is not there.
    """
    given = headers.getall(TENANT_HEADER, ())
    if not given:
        return caller.tenant
    if len(given) > 1:
        raise BadRequestError(f"the request has more than one {TENANT_HEADER} header")
    name = check_tenant_name(given[0].strip())
    if caller.tenant is not None:
        if name != caller.tenant:
            raise ForbiddenError(f"{caller.label} is of the tenant {caller.tenant!r}, and acts for no other")
        return name
    if caller.scope != Scope.ADMIN:
        if name != DEFAULT_TENANT:
            raise ForbiddenError(
                f"{caller.label} has the scope {caller.scope}: a token of the host with the scope "
                "admin alone acts for other tenants"
            )
        return name
    if name not in known:
        raise UnknownTenantError(f"there is no tenant {name!r}: holdfast tenant create {name}")
    return name
