"""Actor types whose instances may not grow, or of which no new ones may come to be: their tenant has all it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast_host.core.errors import StorageFullError

if TYPE_CHECKING:
    from holdfast_host.storage.store import StoredInstance


class TypeQuotas:
    """Of one store. The leader sets them; any thread asks, and finds those of before or of after."""

    def __init__(self) -> None:
        self._full: dict[int, tuple[str, bool]] = {}

    def set(self, full: Iterable[tuple[Iterable[int], str, bool]]) -> None:
        """These are full from now on, and no others: the types, why, and whether that keeps out new instances alone."""
        self._full = {type_id: (why, only_new) for type_ids, why, only_new in full for type_id in type_ids}

    def refusal(self, instance: StoredInstance) -> StorageFullError | None:
        """Why the instance may not grow, or come to be; None where it may."""
        if not self._full:
            return None
        found = self._full.get(instance.type_id)
        if found is None:
            return None
        why, only_new = found
        if only_new and (instance.exists or instance.live_bytes or instance.apart_bytes):
            return None
        name = instance.name.decode("utf-8", "replace")
        what = "may not come to be" if only_new else "may not grow; deletes still work"
        return StorageFullError(f"{why}: instance {name!r} {what}")
