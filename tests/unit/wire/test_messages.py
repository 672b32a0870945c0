"""What crosses the control channel comes out as it went in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import SHARDS, Limits
from holdfast_host.wire.catalog import ActorType, Binding, Catalog, Deployment, Method
from holdfast_host.wire.control import FrontStart, WorkerStart, pack_message, unpack_message
from holdfast_host.wire.routing import Routing

ACCOUNT = ActorType("Account", 7, (Method("deposit", "(amount: int) -> dict", 'Adds "ü"\nfunds.'),), "", ("alarm",))
DEPLOYMENT = Deployment(
    "account",
    "fn_1",
    2,
    "ab",
    "/x.cwasm",
    (ACCOUNT,),
    (Binding("ACCOUNT", "Account", owner=False),),
    {"A": "1"},
    True,
    9,
    1.5,
)
CATALOG = Catalog(4, (DEPLOYMENT,))
ROUTING = Routing.over(3, ["/a", "/b"])


def _crossed(facts: dict[str, Any]) -> dict[str, Any]:
    line = pack_message("start", **facts)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    return unpack_message(line)


def test_a_catalog_comes_out_as_it_went_in() -> None:
    assert Catalog.from_json(json.loads(json.dumps(CATALOG.to_json()))) == CATALOG


def test_a_workers_start_comes_out_as_it_went_in() -> None:
    start = WorkerStart(1, "/data", 5, ROUTING, CATALOG, Limits(mailbox_turns_max=3), "debug")

    assert WorkerStart.from_json(_crossed(start.to_json())) == start


@pytest.mark.parametrize("token", [None, "ü\n"])
def test_a_fronts_start_comes_out_as_it_went_in(token: str | None) -> None:
    start = FrontStart(1, "/data", 5, "http://x", "localhost", token, ROUTING, CATALOG, Limits(), "debug")

    assert FrontStart.from_json(_crossed(start.to_json())) == start


def test_a_message_is_one_line_with_its_kind() -> None:
    assert unpack_message(pack_message("answer", id=1, result="a\nb")) == {"kind": "answer", "id": 1, "result": "a\nb"}


@pytest.mark.parametrize(("partitions", "workers"), [(1, 1), (3, 2), (4, 4), (256, 3)])
def test_every_shard_has_one_owner_and_a_partition_lies_with_one_worker(partitions: int, workers: int) -> None:
    routing = Routing.over(partitions, [f"/{number}" for number in range(workers)])
    owned = [routing.partitions_of(worker) for worker in range(workers)]

    assert len(routing.owners) == SHARDS
    assert sorted(number for each in owned for number in each) == list(range(partitions))
    assert all(routing.owners[shard] == (shard % partitions) % workers for shard in range(SHARDS))


@pytest.mark.parametrize(("partitions", "workers"), [(1, 1), (3, 2), (4, 4), (256, 3)])
def test_an_instance_is_looked_for_where_its_worker_stores_it(partitions: int, workers: int) -> None:
    routing = Routing.over(partitions, [f"/{number}" for number in range(workers)])
    for name in (b"n%d" % number for number in range(500)):
        worker, partition = routing.place(7, name)

        assert partition == partition_of(7, name, partitions)
        assert partition in routing.partitions_of(worker)
