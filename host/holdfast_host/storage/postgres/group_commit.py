"""One group on its way to the server: all of it in one statement, or after a refusal instance by instance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final, cast

from holdfast_host.core.errors import HostUnavailableError, StorageFullError
from holdfast_host.storage.leans import Leans, lose_what_leans
from holdfast_host.storage.postgres.handles import Handle
from holdfast_host.storage.postgres.merging import Merged, apart_arrays, group_arrays
from holdfast_host.storage.store import Batch, Changes

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.postgres.link import Refusal
    from holdfast_host.storage.postgres.transfers import Imports

# SQLSTATEs, or how they begin.
_NOTHING: Final = Handle(0, 0, b"")  # what an import grows from
_NO_ROOM, _DISK_FULL, _CANCELLED, _DEADLOCK = "53", "53100", "57014", "40P01"


class GroupCommit:
    """What is sent next of a group, and what is lost of it so far, by id() of the StoredInstance."""

    def __init__(
        self,
        group: int,
        batches: Sequence[Batch],
        leans: Leans,
        take_number: Callable[[], int],
        refusal: Callable[[Handle, int], StorageFullError | None],
        imports: Imports,
    ) -> None:
        self.group = group
        self.is_written = False  # what was sent last
        self._leans = leans
        by_instance: dict[int, tuple[Handle, list[Changes]]] = {}
        for batch in batches:
            handle = cast("Handle", batch.instance)
            by_instance.setdefault(id(handle), (handle, []))[1].append(batch.changes)
        self._imports = imports
        wrong: dict[int, HoldfastError] = {}
        merged = {
            each: self._merge(handle, changes, take_number, wrong) for each, (handle, changes) in by_instance.items()
        }

        def check(each: int) -> HoldfastError | None:
            one = merged[each]
            if each in wrong:
                return wrong[each]
            for rows in one.staged.values():
                brought_bytes = sum(len(key) + len(value) for key, value in rows.items())
                error = refusal(_NOTHING, brought_bytes)
                if error is not None:
                    return error
            return refusal(one.handle, one.live_bytes + one.apart_bytes)

        self.lost: dict[int, HoldfastError] = lose_what_leans(merged, leans, check)
        self._now = [one for each, one in merged.items() if each not in self.lost]
        self._later: list[Merged] = []
        self._alone = False
        self._choose()

    def _merge(
        self,
        handle: Handle,
        batches: Sequence[Changes],
        take_number: Callable[[], int],
        wrong: dict[int, HoldfastError],
    ) -> Merged:
        """With what imports have brought in place of their ends."""
        staged: dict[str, dict[bytes, bytes]] = {}
        adopted, resolved = list[str](), list[Changes]()
        for changes in batches:
            staging = changes.staging
            if staging is None:
                resolved.append(changes)
                continue
            try:
                brought = staged.setdefault(staging.id, dict(self._imports.find(handle, staging.id)))
            except HostUnavailableError as error:
                wrong[id(handle)] = error
                break
            brought.update(staging.rows)
            if staging.adopts:
                adopted.append(staging.id)
                resolved.append(replace(changes, writes=dict(brought), cleared=True, erased=True, staging=None))
        merged = Merged(handle, resolved, take_number)
        merged.staged, merged.adopted = staged, adopted
        return merged

    def _choose(self) -> None:
        self.is_written = False
        if not self._now:
            self.statement = "confirm"
        else:
            self.statement = "commit_all" if any(each.touches_apart for each in self._now) else "commit"

    def arrays(self) -> list[bytes]:
        """The arrays of the statement."""
        arrays = group_arrays(self._now)
        return arrays + apart_arrays(self._now) if self.statement == "commit_all" else arrays

    def written(self) -> list[Merged]:
        """What has been written by the statement that came back."""
        written, self._now = self._now, []
        return written

    def refuse(self, refusal: Refusal) -> None:
        """The statement was rolled back: its instances are lost for that, or each is tried alone."""
        refused, self._now = self._now, []
        state = refusal.sqlstate
        concerns_all = state[:2] == _NO_ROOM or state in {_CANCELLED, _DEADLOCK}
        if self._alone or concerns_all or len(refused) == 1:
            said = f"the store has refused to write: {refusal.message} ({state})"
            error = StorageFullError(said) if state == _DISK_FULL else HostUnavailableError(said)
            self.lost |= {id(each.handle): error for each in refused}
            return
        self._alone = True
        by_id = {id(each.handle): each for each in refused}
        order = TopologicalSorter({**dict.fromkeys(by_id, ()), **self._leans}).static_order()
        self._later = [by_id[each] for each in order if each in by_id]

    def take_next(self) -> bool:
        """Go on with the next instance, where they are tried alone; what leans on a lost one is lost too."""
        while self._later:
            one = self._later.pop(0)
            base = self._lost_base(id(one.handle))
            if base is None:
                self._now = [one]
                self._choose()
                return True
            self.lost[id(one.handle)] = base
        return False

    def _lost_base(self, instance: int) -> HoldfastError | None:
        """Why something is lost that this one leans on, directly or not."""
        ahead, seen = [instance], {instance}
        while ahead:
            for base in self._leans.get(ahead.pop(), ()):
                if base in self.lost:
                    return self.lost[base]
                if base not in seen:
                    seen.add(base)
                    ahead.append(base)
        return None
