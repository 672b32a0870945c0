"""The hostile guest: a host takes it like any other, since all that it does wrong it does when it is called.

It is built here, beside other tests, and so lies ready for the corpus, which has the machine to itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.hostile.corpus import GUEST

pytestmark = pytest.mark.slow


def test_a_host_takes_the_hostile_guest_and_lists_its_types(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data", "--outbound", "http://*") as host, host.caller() as caller:
        deploy(host, components.built(GUEST))
        listed = caller.request("GET", "/v1/actors").value["actors"]

    assert [each["type"] for each in listed] == ["AsksOutside", "Hostile", "HostileInit", "HostileRoom", "HostileText"]
