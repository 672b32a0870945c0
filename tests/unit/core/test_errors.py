"""An error that crosses from one process of the host to another is the same there."""

from __future__ import annotations

import pytest

from holdfast_host.core import errors
from holdfast_host.core.errors import ActorError, GuestError, HoldfastError, InternalError, UnavailableError

CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HoldfastError)]


@pytest.mark.parametrize("kind", [each for each in CLASSES if each is not HoldfastError])
def test_an_error_comes_out_of_its_facts_as_it_went_in(kind: type[HoldfastError]) -> None:
    error = kind("a sentence", code="a_code")
    crossed = HoldfastError.from_facts(error.facts())

    assert type(crossed) is kind
    assert (crossed.facts(), crossed.status) == (error.facts(), error.status)


def test_the_status_of_an_answer_is_its_errors() -> None:
    error = HoldfastError.from_facts(ActorError("no funds", status=409).facts(), 409)

    assert error.status == 409


@pytest.mark.parametrize("name", ["ValueError", "HoldfastError", "LaterError"])
def test_a_name_that_no_error_goes_by_is_our_bug_and_quoted(name: str) -> None:
    error = HoldfastError.from_facts({"name": name, "message": "m"}, 404)

    assert type(error) is InternalError
    assert (error.status, error.message) == (500, f"{name}: m")


def test_who_waits_is_told_so_by_the_branch_of_the_error() -> None:
    """What is unavailable may come back; what a guest asks for in vain does not, whatever the host does."""
    assert issubclass(errors.UnsupportedError, GuestError)
    assert not issubclass(errors.UnsupportedError, UnavailableError)


def test_the_tree_that_is_drawn_has_every_error_on_its_branch() -> None:
    drawn: dict[str, str] = {}
    branch = ""
    for line in (errors.__doc__ or "").splitlines():
        found = line.strip("|+- ").split("  ")[0]
        if line.startswith("    +-- "):
            branch = found.split(" ")[0]
        elif line.startswith("    |"):
            drawn |= dict.fromkeys(found.replace(",", " ").split(), branch)
    branches = [each for each in CLASSES if each.__base__ is HoldfastError]

    assert drawn == {each.__name__: base.__name__ for base in branches for each in CLASSES if each.__base__ is base}
