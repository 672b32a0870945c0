"""Requests that are refused for their token, 401 and 403, counted until the supervisor is told: once a second at most.

Who floods a front with wrong tokens makes one entry of its address, and its count grow. Of more than GROUPS_MAX
addresses and tokens in a second the others are counted together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast_host.wire.control.audit import Refusal, RequestsRefused

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.front.access.callers import Caller

TOLD_S: Final = 1.0  # from the first to the word about all of a moment
GROUPS_MAX: Final = 32
_OBJECT_CHARS_MAX: Final = 200


@dataclass(slots=True)
class _Group:
    first: Refusal
    count: int = 1


class Refusals:
    """Of one front, for its loop."""

    def __init__(self, tell: Callable[[RequestsRefused], None]) -> None:
        self._tell = tell
        self._groups: dict[tuple[str, str, str], _Group] = {}
        self._further = 0
        self._telling: asyncio.TimerHandle | None = None

    def note(self, error: HoldfastError, caller: Caller | None, client: str, method: str, path: str) -> None:
        """A request was refused with that error.

        Args:
            error: whose status is 401 or 403.
            caller: whose token it showed; None where it showed none that is let in.
            client: the address that it came from.
            method: of HTTP.
            path: as it came, without secrets; what was asked for first stands for all of a group.
        """
        token = "" if caller is None else caller.id
        group = self._groups.get((error.name, token, client))
        if group is not None:
            group.count += 1
        elif len(self._groups) < GROUPS_MAX:
            name, tenant = ("", None) if caller is None else (caller.name, caller.tenant)
            asked = f"{method} {path}"[:_OBJECT_CHARS_MAX]
            refusal = Refusal(error.status, error.name, token, name, client, asked, tenant)
            self._groups[error.name, token, client] = _Group(refusal)
        else:
            self._further += 1
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TOLD_S, self.tell)

    def tell(self) -> None:
        """Tell what there is; nothing where there is nothing."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self._groups:
            groups = [(each.first, each.count) for each in self._groups.values()]
            self._tell(RequestsRefused(groups, self._further))
        self._groups, self._further = {}, 0
