"""How many requests of a tenant are under way, whatever its functions are."""

from __future__ import annotations

import pytest

from holdfast_host.core.errors import OutboundBusyError
from holdfast_host.core.limits import Limits
from holdfast_host.courier.in_flight import InFlight


def test_a_tenant_has_so_many_requests_under_way_and_others_have_theirs() -> None:
    in_flight = InFlight(Limits())
    in_flight.set_tenants({"acme": 2})
    with in_flight.admit("shop.acme", 0):
        with in_flight.admit("bank.acme", 0), in_flight.admit("shop", 0), in_flight.admit("shop.blue", 0):
            said = "the tenant 'acme' has 2 requests under way, the limit is 2"
            with pytest.raises(OutboundBusyError, match=said), in_flight.admit("shop.acme", 0):
                pass
            assert in_flight.requests == 4
        with in_flight.admit("shop.acme", 0):
            pass

    assert in_flight.requests == 0
