"""The check of a host's answers, without anything compiled."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from holdfast_host.cli.shapes import Bounds, misfit


class Inner(TypedDict):
    """What a row holds."""

    count: int


class Row(TypedDict):
    """A row with what may be left out, and what may be null."""

    name: str
    count: Annotated[int, Bounds(most=9)]
    share: NotRequired[float | None]
    inner: NotRequired[list[Inner]]


@pytest.mark.parametrize(
    ("value", "shape", "wrong"),
    [
        ({"name": "a", "count": 9, "further": [1]}, Row, None),
        ({"name": "a", "count": 9, "share": None}, Row, None),
        ({"name": "a", "count": 9, "share": 1}, Row, None),
        ([], Row, "expected `object`, got `array`"),
        ({"count": 1}, Row, "object missing required field `name`"),
        ({"name": None, "count": 1}, Row, "expected `str`, got `null` - at `$.name`"),
        ({"name": "a", "count": True}, Row, "expected `int`, got `bool` - at `$.count`"),
        ({"name": "a", "count": 10}, Row, "expected `int` <= 9 - at `$.count`"),
        ({"name": "a", "count": 1, "share": "1"}, Row, "expected `float`, got `str` - at `$.share`"),
        (
            {"name": "a", "count": 1, "inner": [{"count": 1}, {"name": "c"}]},
            Row,
            "object missing required field `count` - at `$.inner[1]`",
        ),
        ([], Annotated[list[int], Bounds(least=1)], "expected `array` of length >= 1"),
        (-1, Annotated[float, Bounds(0, 5)], "expected `float` >= 0"),
        ({"anything": [None]}, dict, None),
        ({"anything": [None]}, dict[str, Any], None),
    ],
)
def test_what_does_not_have_the_shape_is_named_with_its_place(value: Any, shape: Any, wrong: str | None) -> None:
    assert misfit(value, shape) == wrong
