"""What crosses the control channel comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from holdfast_host.core.errors import InternalError
from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import SHARDS, Limits
from holdfast_host.wire.control import operations
from holdfast_host.wire.control import protocol as control
from holdfast_host.wire.control.audit import Change, Outcome, Refusal, RequestsRefused
from holdfast_host.wire.control.backup_orders import CopyPartition, HoldCommits, ReleaseCommits
from holdfast_host.wire.control.catalog import ActorType, Binding, Catalog, Deployment, Method
from holdfast_host.wire.control.edge import Certificate, Edge, NewEdge
from holdfast_host.wire.control.messages import Failure
from holdfast_host.wire.control.quotas import CountedStored, CountStored, FullTenant, Quotas, TakeQuotas
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.starts import FrontStart, WorkerStart
from holdfast_host.wire.control.tokens import KnownTokens, NewTokens, TokenFacts, TokensUsed

ACCOUNT = ActorType(
    "Account", 7, (Method("deposit", "(amount: int) -> dict", 'Adds "ü"\nfunds.'),), "", ("private",), ("alarm",)
)
DEPLOYMENT = Deployment(
    "account",
    "fn_1",
    2,
    "ab",
    "/x.cwasm",
    (ACCOUNT,),
    (Binding("ACCOUNT", "Account", owner=False),),
    {"A": "1"},
    ("fetch",),
    9,
    1.5,
)
CATALOG = Catalog(4, (DEPLOYMENT,))
ROUTING = Routing.over(3, ["/a", "/b"])


LIMITS = Limits(mailbox_turns_max=3)

# One of each kind, under whom it is read by.
FOR_WORKERS: list[control.ToWorker] = [
    WorkerStart(1, "/data", 5, ROUTING, CATALOG, LIMITS, "debug", {"KEY": "v"}, 7, [(3, "a"), (-1, "")]),
    control.Prepare(DEPLOYMENT, id=1),
    control.Switch(DEPLOYMENT, id=2),
    control.Remove("account", id=3),
    control.Occupied([1, 2], id=4),
    control.Armed([1, 2], id=5),
    control.Describe(replace(DEPLOYMENT, sources='{"app.py":"\\ud800"}'), id=6),
    control.TakeSecrets({"KEY": "\ud800"}, id=7),
    control.KeepAway([(3, "a")], id=8),
    TakeQuotas(Quotas({"acme": 7}, (FullTenant((1, 2), "full", True),)), id=16),
    CountStored([1, 2], id=17),
    control.AcquireShards(id=18),
    control.GiveShards([3, 255], 1, id=19),
    control.NewRouting(ROUTING.given({5: 0})),
    control.LiveFronts([3, 4]),
    control.NewLogLevel("debug"),
    control.NewLimits(LIMITS),
    control.ShowActivity(20, id=11),
    control.Connected([1], id=12),
    HoldCommits(id=13),
    ReleaseCommits(True, id=14),
    CopyPartition(3, "/data/backup/3", id=15),
    control.Measure(id=9),
    control.Ping(10),
    control.Drain(),
    control.Stop(),
]
FOR_FRONTS: list[control.ToFront] = [
    FrontStart(1, "/data", 5, "http://x", "localhost", "ü\n", ROUTING, CATALOG, LIMITS, "debug", ("a", "b")),
    control.NewCatalog(CATALOG),
    control.NewRouting(ROUTING.given({5: 0})),
    NewTokens(KnownTokens(True, (TokenFacts("id", "00", "ü", "call", ("A",), 5, "acme"),)), id=16),
    NewEdge(Edge(("10.0.0.0/8",), ("https://a.example",), Certificate("PEM", "PEM"))),
    control.NewLogLevel("debug"),
    control.NewLimits(LIMITS),
    control.HostHealth([True, False], [0], [1], stopping=True),
    control.Measure(id=9),
    control.Progress(1, "compiling"),
    control.Answer(1, {"result": [1, None, "a\nb"]}),
    control.Ping(10),
    control.Drain(),
    control.Stop(),
]
FROM_CHILDREN: list[control.FromChild] = [
    control.Ready(77),
    control.Pong(10),
    control.Drained(),
    control.Done(1),
    control.Failed(2, Failure("ActorError", "no funds", "no_funds", 409)),
    control.Measured(3, {"types": [{"latency": 0.5}]}),
    control.FoundTypes(4, [1]),
    CountedStored(4, 1, 2),
    control.GaveShards(5, [3, 255]),
    control.Described(5, {"actors": []}),
    control.ShownActivity(6, {"turns": []}),
    control.Unloadable("account", "its file is damaged"),
    control.CommitStalled(True),
    control.RoomChanged(None),
    control.Fatal("Input/output error"),
    control.Request(6, operations.Rollback("acme", "account")),
    control.Withdraw(6),
    TokensUsed(["id"]),
    RequestsRefused([(Refusal(403, "ForbiddenError", "id", "ci", "::1", "GET /v1/functions", "acme"), 3)], 5),
]
CHANGE = Change("bootstrap", "", "setSecret", "/v1/secrets/KEY", "::1", "acme", by_host=True)
OPERATIONS: list[operations.AnyOperation] = [
    operations.Deploy("acme", "account", "/x", None, allow_breaking=True, client="192.0.2.1"),
    operations.Reload("acme", "account", "{}"),
    operations.Rollback("acme", "account", 2),
    operations.Delete("acme", "account"),
    operations.PreviewRollback("acme", "account", 2),
    operations.ShowFunction("acme", "account"),
    operations.ListFunctions("acme"),
    operations.ListUndeployed("acme"),
    operations.CollectMeasures(),
    operations.CollectTenantMeasures("acme"),
    operations.CollectActivity(20),
    operations.ListHosts(),
    operations.ListQuarantined("acme", ("", "f"), 10),
    operations.ReleaseInstance(7, "alice"),
    operations.ReleaseFunction("acme", "account"),
    operations.ListSecrets("acme"),
    operations.SetSecret("acme", "KEY", "\ud800"),
    operations.DeleteSecret("acme", "KEY"),
    operations.ListTenants(),
    operations.ShowTenant("acme"),
    operations.MakeTenant("acme", {"instances": 5}),
    operations.DeleteTenant("acme"),
    operations.BeginChange(CHANGE),
    operations.EndChange(1, CHANGE, Outcome(404, "UnknownSecretError", {"of": {"id": 1}})),
    operations.ReadAudit(5, 10, 0.5, "acme"),
    operations.ListTokens(None),
    operations.CreateToken("acme", "call", "ü", ["A"], 5),
    operations.RotateToken(None, "id"),
    operations.RevokeToken(None, "id"),
    operations.TakeBackup(True),
    operations.ReadArchived(1, "alice", 1_800_000_000_000_000),
]
READERS: list[tuple[Any, list[Any], Callable[[bytes], Any]]] = [
    (control.ToWorker, FOR_WORKERS, control.read_for_worker),
    (control.ToFront, FOR_FRONTS, control.read_for_front),
    (control.FromChild, FROM_CHILDREN, control.read_from_child),
]


@pytest.mark.parametrize(("kinds", "samples", "read"), READERS, ids=["worker", "front", "supervisor"])
def test_every_kind_of_message_is_one_line_and_comes_out_as_it_went_in(
    kinds: Any, samples: list[Any], read: Callable[[bytes], Any]
) -> None:
    assert {type(each) for each in samples} == set(get_args(kinds))
    for message in samples:
        line = control.pack_message(message)

        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert read(line) == message


def test_every_operation_comes_out_as_it_went_in() -> None:
    assert {type(each) for each in OPERATIONS} == set(get_args(operations.AnyOperation))
    for operation in OPERATIONS:
        request = control.Request(1, operation)

        assert control.read_from_child(control.pack_message(request)) == request


@pytest.mark.parametrize("token", [None, "secret"])
def test_a_front_has_the_hosts_token_or_none(token: str | None) -> None:
    start = FrontStart(1, "/data", 5, "http://x", "localhost", token, ROUTING, CATALOG, LIMITS)

    assert control.read_for_front(control.pack_message(start)) == start


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind":"dance"}', "kind 'dance', does not read: Invalid value 'dance'"),
        ('{"id":1}', "kind None, does not read: Object missing required field `kind`"),
        ('{"kind":"ready","pid":1}', "kind 'ready', does not read: Invalid value 'ready'"),
        ('{"kind":"ping"}', "kind 'ping', does not read: Object missing required field `id`"),
        ('{"kind":"ping","id":"1"}', "kind 'ping', does not read: Expected `int`, got `str` - at `$.id`"),
        ('{"kind":"ping","id":1,"to":2}', "kind 'ping', does not read: Object contains unknown field `to`"),
        ('{"kind":"secrets","id":1,"values":{"KEY":["hush"]}}', "Expected `str`, got `array` - at `$.values[...]`"),
        ("[1]", "kind unknown, does not read: Expected `object`, got `array`"),
        ("hush", "kind unknown, does not read: Expecting value"),
    ],
)
def test_an_unknown_kind_and_a_wrong_field_are_one_error_that_says_which_and_shows_no_value(
    line: str, said: str
) -> None:
    with pytest.raises(InternalError) as refused:
        control.read_for_worker(line.encode())

    assert f"a control message of {len(line)} bytes" in refused.value.message
    assert said in refused.value.message
    assert "hush" not in refused.value.message


def test_no_repr_shows_what_is_secret() -> None:
    shown = repr(
        [
            WorkerStart(1, "", 5, ROUTING, CATALOG, LIMITS, secrets={"KEY": "hush"}),
            FrontStart(1, "", 5, "", "", "hush", ROUTING, CATALOG, LIMITS),
            control.TakeSecrets({"KEY": "hush"}),
            control.Request(1, operations.SetSecret("acme", "KEY", "hush")),
        ]
    )

    assert "KEY" in shown
    assert "hush" not in shown


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


@pytest.mark.parametrize("fetch", [True, False])
def test_a_version_that_an_older_release_recorded_has_its_handlers(fetch: bool) -> None:
    written = DEPLOYMENT.to_json()
    del written["handlers"]
    [entry] = written["types"]
    entry["hooks"] = entry.pop("handlers")
    read = Deployment.from_json({**written, "fetch": fetch})

    assert read == replace(DEPLOYMENT, handlers=("fetch",) if fetch else ())
    assert read.fetch is fetch
