"""What tenants may have and do at most, as the supervisor tells workers and the courier."""

from __future__ import annotations

from msgspec import Struct

from holdfast_host.wire.control.messages import Message, Question


class FullTenant(Struct, frozen=True):
    """A tenant that has as much stored as it may: its instances do not grow, or no new ones come to be."""

    type_ids: tuple[int, ...]
    reason: str
    only_new: bool  # those that are there may grow


class Quotas(Struct, frozen=True):
    """Those of all tenants that have some. `calls`: how many may be under way in one worker, by tenant."""

    calls: dict[str, int] = {}
    full: tuple[FullTenant, ...] = ()


class TakeQuotas(Question, tag="quotas"):
    """To workers: these hold from now on. Answered with Done."""

    quotas: Quotas


class CountStored(Question, tag="count_stored"):
    """To workers: how much is stored here of these actor types? Answered with CountedStored."""

    types: list[int]


class CountedStored(Message, tag="counted_stored"):
    """From a worker: of all these types together."""

    id: int
    instances: int
    bytes: int  # of keys and values
