"""A host of the kit, with the actors of `actors`."""

from __future__ import annotations

import pytest

from holdfast.testing import LocalHost
from tests.unit.testing.actors import START, Account, Session, fetch


@pytest.fixture
def local() -> LocalHost:
    """A host whose clock begins at noon."""
    actors = {"ACCOUNT": Account, "SESSION": Session}
    return LocalHost(actors, fetch=fetch, variables={"GREETING": "hi"}, now=START)
