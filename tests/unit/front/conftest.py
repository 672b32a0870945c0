from __future__ import annotations

import pytest

from tests.unit.front.stage import Stage


@pytest.fixture(params=["parsed", "direct"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's calls come with heads that the front does not know, then with heads that it knows."""
    monkeypatch.setattr(Stage, "taught", request.param == "direct")
