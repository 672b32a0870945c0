"""Optional exports: what a description lists as a handler is there to be called, and nothing else need be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.trial import try_component
from holdfast_host.sandbox.engine import LoadedComponent
from tests.hostile.wat import described_as

FromWat = Callable[[str], LoadedComponent]


def component(contract: str, of_type: str = "", of_function: str = "") -> str:
    """A component that exports what every one must, and says this of itself."""
    actor = f'{{"type":"Tiny","methods":[{{"name":"run"}}]{of_type}}}'
    return described_as(f'{{"contract":"{contract}","codec":2,"actors":[{actor}]{of_function}}}')


def test_a_component_without_handlers_needs_no_export_for_them(from_wat: FromWat) -> None:
    loaded = from_wat(component("1.1.0"))
    description = try_component(loaded, Limits())

    assert loaded.exports.keys() == {"describe", "activate", "call"}
    assert (description["handlers"], description["actors"][0]["handlers"]) == ([], [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (component("1.1.0", ',"handlers":["alarm"]'), "'alarm' of Tiny, but does not export 'alarm'"),
        (component("1.1.0", ',"handlers":["fetch"]'), "'fetch' of Tiny, but does not export 'fetch'"),
        (component("1.1.0", "", ',"handlers":["fetch"]'), "'fetch' of the function, but does not export 'fetch'"),
        (component("1.0.0", "", ',"fetch":true'), "'fetch' of the function, but does not export 'fetch'"),
    ],
)
def test_a_handler_that_nothing_runs_is_refused(from_wat: FromWat, text: str, problem: str) -> None:
    with pytest.raises(InvalidComponentError, match=problem):
        try_component(from_wat(text), Limits())


def test_a_component_of_1_0_that_names_more_than_it_exports_is_served_as_ever(from_wat: FromWat) -> None:
    description = try_component(from_wat(component("1.0.0", ',"hooks":["alarm"]')), Limits())

    assert description["actors"][0]["handlers"] == ["alarm"]
