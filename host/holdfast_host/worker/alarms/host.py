"""What deliveries need of their worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from holdfast_host.worker.turns.turn import TurnHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.store import Store
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.mailboxes import Mailboxes

_Found = TypeVar("_Found")


class AlarmHost(TurnHost, Protocol):
    """What deliveries need of their worker, beside what their turns need."""

    store: Store
    gate: Gate
    mailboxes: Mailboxes
    directory: Directory
    deployments: Deployments

    def read_store(self, generation: int, read: Callable[[], _Found], then: Callable[[_Found], None]) -> bool:
        """Read the disk in a section; `then` is told what was found. False: the leadership is lost."""
