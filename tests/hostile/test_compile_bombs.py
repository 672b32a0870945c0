"""A component that takes as long to compile as a host lets it, beside one that does not."""

from __future__ import annotations

import threading

import pytest

from tests.harness import components
from tests.harness.caller import Answer
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.hostile import wat
from tests.hostile.cases import deploy_bare

pytestmark = pytest.mark.slow


def test_a_good_deploy_beside_a_compile_bomb_is_done_before_it(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "compile_cpu_s=20")
    refused: list[Answer] = []

    def drop_bomb() -> None:
        with host.caller(timeout_s=200) as caller:
            refused.append(deploy_bare(caller, "bomb", wat.assemble(wat.bomb(4000, 4000))))

    bomb = threading.Thread(target=drop_bomb)
    bomb.start()
    deploy(host, components.built(components.ACCOUNT))

    assert not refused
    with host.caller() as caller:
        assert caller.value("Account", "alice", "deposit", 1) == {"balance": 1}
        assert not refused
    bomb.join()
    assert refused[0].error == "InvalidComponentError"
    assert "of CPU to compile" in refused[0].text
