"""How many calls of a tenant may be under way in this worker, for those tenants that have a limit.

A call counts from its arrival over a connection to its answer. What turns call, alarms and jobs do not count: what they
belong to has been counted, or is bounded otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.core.errors import MailboxFullError
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.worker.turns.turn import Turn


@leaders
class CallQuota:
    """That of one tenant."""

    __slots__ = ("_tenant", "most", "under_way")

    def __init__(self, tenant: str, most: int) -> None:
        self._tenant = tenant
        self.most = most
        self.under_way = 0

    def admit(self, turn: Turn) -> None:
        """Count a call that has just arrived.

        Raises:
            MailboxFullError: as many as may be are under way.
        """
        if self.under_way >= self.most:
            raise MailboxFullError(
                f"{turn.entry.label}: {self.under_way} calls of the tenant {self._tenant!r} are under way at its "
                f"worker, the limit is {self.most}"
            )
        self.under_way += 1
        turn.quota = self

    def release(self) -> None:
        """One of them is answered."""
        self.under_way -= 1


@leaders
class CallQuotas:
    """Those of all tenants that have one. `by_tenant` is empty on a host without limits."""

    def __init__(self) -> None:
        self.by_tenant: dict[str, CallQuota] = {}

    def admit(self, tenant: str, turn: Turn) -> None:
        """Count a call of a tenant that has just arrived; nothing where it has no limit.

        Raises:
            MailboxFullError: as many as may be are under way.
        """
        quota = self.by_tenant.get(tenant)
        if quota is not None:
            quota.admit(turn)

    def set(self, calls: Mapping[str, int]) -> None:
        """These hold from now on; what is under way is counted on."""
        before = self.by_tenant
        self.by_tenant = {tenant: before.get(tenant) or CallQuota(tenant, most) for tenant, most in calls.items()}
        for tenant, most in calls.items():
            self.by_tenant[tenant].most = most
