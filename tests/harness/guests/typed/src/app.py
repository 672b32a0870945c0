"""An actor whose annotations mean something: each method says what it was given, and of which types that was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Required, TypedDict
from uuid import UUID

from holdfast import StatefulActor

if TYPE_CHECKING:
    from nowhere import Unseen  # type: ignore[import-not-found]  # as authors have it: for the type checker alone

Cents = NewType("Cents", int)


class Colour(Enum):
    RED = "red"
    MIXED = (1, 2)


class Status(StrEnum):
    OPEN = "open"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Item:
    name: str
    price: Decimal
    parts: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("it has no name")


class Address(TypedDict, total=False):
    city: Required[str]
    since: date


class Shop(StatefulActor):
    def price(self, price: Decimal) -> str:
        return repr(price)

    def count(self, n: int, *more: int, by: int | None = None) -> str:
        return repr((n, more, by))

    def plain(self, flag: bool, share: float, text: str = "") -> str:
        return repr((flag, share, text))

    def moments(self, on: date, at: datetime, of_day: time, span: timedelta) -> str:
        return repr((on.isoformat(), at.isoformat(), of_day.isoformat(), span.total_seconds()))

    def others(self, data: bytes, number: UUID, cents: Cents, level: Annotated[int, "any"] = 0) -> str:
        return repr((data, str(number), cents, level))

    def chosen(self, colour: Colour, status: Status, level: Level, size: Literal["s", "m", 1] = "s") -> str:
        self.ctx.storage.put("chosen", [status, level])
        return repr((colour, status, level, size))

    def containers(
        self,
        prices: list[Decimal],
        by_day: dict[date, int],
        tags: set[str] = frozenset(),  # type: ignore[assignment]
        pair: tuple[int, date] | None = None,
        rest: Sequence[tuple[int, ...]] = (),
    ) -> str:
        return repr((prices, by_day, sorted(tags), pair, rest))

    def keyed(self, names: dict[int, str]) -> str:
        return repr(names)

    def item(self, item: Item) -> str:
        return repr(item)

    def move(self, to: Address, **more: date) -> str:
        return repr((to, more))

    def either(self, value: Decimal | list[int] | str) -> str:
        return repr(value)

    def unknown(self, a: Unseen, b: Any = None, c=None) -> str:  # type: ignore[no-untyped-def]
        return repr((a, b, c))

    def of_another(self, name: str) -> str:
        """A call between actors: its arguments have their types, and are not looked at."""
        stub = self.env.SHOP.id_from_name(name)
        return str(stub.price(1.5))
