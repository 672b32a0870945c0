"""The control channel between the supervisor and each child: JSON objects, one a line, over an inherited pair.

EOF on it means that the other side is gone: a child then exits at once. Both sides are of one release, so a message
that does not read is a bug of ours: whoever gets one ends the channel, and the child is replaced.

Each kind is a class here, and what may be sent to whom is a union of them: mypy holds every receiver to all of its own.
The first one to each is in `starts`, what a front asks for in `operations`.
"""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec

from holdfast_host.core.errors import InternalError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import Limits
from holdfast_host.wire.control.audit import RequestsRefused
from holdfast_host.wire.control.backup_orders import CopyPartition, HoldCommits, ReleaseCommits
from holdfast_host.wire.control.catalog import Catalog, Deployment, Outbound
from holdfast_host.wire.control.edge import NewEdge
from holdfast_host.wire.control.messages import Failure, Message, Question
from holdfast_host.wire.control.operations import AnyOperation
from holdfast_host.wire.control.quotas import CountedStored, CountStored, TakeQuotas
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.starts import CourierStart, FrontStart, Quarantined, WorkerStart
from holdfast_host.wire.control.tokens import NewTokens, TokensUsed

# To every child.


class Measure(Question, tag="measure"):
    """What has it counted? Answered with Measured."""


class Ping(Message, tag="ping"):
    """Answered with Pong; a worker's comes from its leader, so that a hung one is seen."""

    id: int


class NewLogLevel(Message, tag="log_level"):
    """Write what is at or above this level from now on."""

    level: str


class NewLimits(Message, tag="limits"):
    """What begins from now on is bounded by these, as far as limits can change while a process runs."""

    limits: Limits


class Drain(Message, tag="drain"):
    """Finish: a front closes its listener, a worker takes no new root call. Drained follows."""


class Stop(Message, tag="stop"):
    """Close what is open and exit 0."""


# To workers.


class Prepare(Question, tag="prepare"):
    """Load the compiled component, keep it beside the current one."""

    deployment: Deployment


class Switch(Question, tag="switch"):
    """Every turn that starts from now on runs it."""

    deployment: Deployment


class Remove(Question, tag="remove"):
    """Undeploy."""

    function: str


class Occupied(Question, tag="occupied"):
    """Which of these actor types, by number, have instances here? Answered with FoundTypes."""

    types: list[int]


class Armed(Question, tag="armed"):
    """Of which of these actor types, by number, do alarms wait here? Answered with FoundTypes."""

    types: list[int]


class Connected(Question, tag="connected"):
    """Of which of these actor types, by number, are WebSockets open here? Answered with FoundTypes."""

    types: list[int]


class Describe(Question, tag="describe"):
    """Try a development component with its sources. Answered with Described."""

    deployment: Deployment


class TakeSecrets(Question, tag="secrets"):
    """All there are; turns that start now see those that their function names. Sealed ones go to the courier alone."""

    values: dict[str, str]
    sealed: dict[str, str] = {}  # the courier's: which origin is the only one for it

    def __repr__(self) -> str:
        return f"<TakeSecrets {', '.join(self.values)}>"


class ShowActivity(Question, tag="activity"):
    """What does it do now? Answered with ShownActivity."""

    limit: int  # rows of a kind


class KeepAway(Question, tag="quarantine"):
    """Only these may not run."""

    instances: Quarantined


class AcquireShards(Question, tag="acquire"):
    """Its seat may have been given more: serve that."""


class GiveShards(Question, tag="give"):
    """Give these shards to that worker of the host. Answered with GaveShards."""

    shards: list[int]
    worker: int


class LiveFronts(Message, tag="fronts"):
    """These fronts live, or are about to, and no other does: the sockets of others are over."""

    numbers: list[int]


# To workers and fronts.


class NewRouting(Message, tag="routing"):
    """Who owns which shard now; one with a lower number than another that has come is late."""

    routing: Routing


# To fronts.


class NewCatalog(Message, tag="catalog"):
    """What is deployed now."""

    catalog: Catalog


class HostHealth(Message, tag="health"):
    """Whether the host is ready, as far as the supervisor knows."""

    workers: list[bool]  # whether each is up
    stalled: list[int] = []  # those whose commits hang
    short: list[int] = []  # those that refuse growth for want of room
    archive: str = ""  # what is wrong with the archive, which keeps nobody from being served
    stopping: bool = False


class Progress(Message, tag="progress"):
    """A stage of the operation that was asked for under this id, as it happens."""

    id: int
    stage: str


class Answer(Message, tag="answer"):
    """What became of the operation that was asked for under this id: a result, or an error."""

    id: int
    result: JsonObject = {}
    error: Failure | None = None


# To the courier.


class TakeGrants(Question, tag="grants"):
    """What the functions may ask from now on, by their keys; and how many requests of a tenant may be under way."""

    functions: dict[str, Outbound]
    tenants: dict[str, int] = {}


class Ready(Message, tag="ready"):
    """It serves."""

    pid: int


class Pong(Message, tag="pong"):
    """It lives."""

    id: int


class Drained(Message, tag="drained"):
    """A worker: no turn runs and the groups are settled. A front: no request is open."""


class Done(Message, tag="done"):
    """The question is seen to."""

    id: int


class Failed(Message, tag="failed"):
    """The question is refused, whatever it was."""

    id: int
    error: Failure


class Measured(Message, tag="measured"):
    """What it has counted since its start, for `/metrics`."""

    id: int
    measures: JsonObject


# From workers.


class FoundTypes(Message, tag="found"):
    """Those of the types that were asked about."""

    id: int
    types: list[int]


class Described(Message, tag="described"):
    """What a component says of itself."""

    id: int
    description: JsonObject


class ShownActivity(Message, tag="active"):
    """What it does now, with at most as many rows of a kind as was asked for."""

    id: int
    activity: JsonObject


class GaveShards(Message, tag="gave"):
    """These are the other worker's from now on; the others stay."""

    id: int
    shards: list[int]


class Unloadable(Message, tag="unloadable"):
    """It starts without this function, whose compiled file does not load."""

    function: str
    reason: str


class CommitStalled(Message, tag="sync"):
    """Its commit in flight takes too long; or, `stalled` false, has ended."""

    stalled: bool


class RoomChanged(Message, tag="room"):
    """Why nothing may grow on its disk or in its map; null: it may again."""

    shortage: str | None


class Fatal(Message, tag="fatal"):
    """A sync failed; the supervisor stops the host."""

    reason: str


# From fronts.


class Request(Message, tag="request"):
    """An operation of the registry; Progress and one Answer follow."""

    id: int
    operation: AnyOperation


class Withdraw(Message, tag="withdraw"):
    """Whoever asked for that request has hung up: what has not begun need not."""

    id: int


WorkerQuestion = (
    Prepare
    | Switch
    | Remove
    | Occupied
    | Armed
    | Connected
    | Describe
    | TakeSecrets
    | TakeQuotas
    | CountStored
    | KeepAway
    | Measure
    | ShowActivity
    | HoldCommits
    | ReleaseCommits
    | CopyPartition
    | AcquireShards
    | GiveShards
)
WorkerOrder = WorkerQuestion | LiveFronts | NewRouting | NewLogLevel | NewLimits | Ping | Drain | Stop
ToWorker = WorkerStart | WorkerOrder
FrontNews = NewCatalog | NewRouting | NewTokens | NewEdge | NewLogLevel | NewLimits | HostHealth | Measure | Drain
ToFront = FrontStart | FrontNews | Progress | Answer | Ping | Stop
CourierOrder = TakeGrants | TakeSecrets | NewLogLevel | NewLimits | Measure
ToCourier = CourierStart | CourierOrder | Ping | Stop
AnyAnswer = Done | Failed | Measured | FoundTypes | Described | ShownActivity | CountedStored | GaveShards
WorkerNews = Unloadable | CommitStalled | RoomChanged | Fatal
ChildNews = Ready | Drained | WorkerNews | Request | Withdraw | TokensUsed | RequestsRefused
FromChild = AnyAnswer | Pong | ChildNews


def pack_message(message: Message) -> bytes:
    """One line. ASCII only, so that lone surrogates pass, which msgspec's own JSON refuses."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":")).encode() + b"\n"


def read_for_worker(line: bytes) -> ToWorker:
    """A line that the supervisor wrote for a worker; InternalError where it is none of ToWorker."""
    return cast("ToWorker", _read(line, ToWorker))


def read_for_front(line: bytes) -> ToFront:
    """A line that the supervisor wrote for a front; InternalError where it is none of ToFront."""
    return cast("ToFront", _read(line, ToFront))


def read_for_courier(line: bytes) -> ToCourier:
    """A line that the supervisor wrote for the courier; InternalError where it is none of ToCourier."""
    return cast("ToCourier", _read(line, ToCourier))


def read_from_child(line: bytes) -> FromChild:
    """A line that a child wrote; InternalError where it is none of FromChild."""
    return cast("FromChild", _read(line, FromChild))


def kind_of(message: Message) -> str:
    """Its kind, for people."""
    return str(message.__struct_config__.tag)


def _read(line: bytes, kinds: Any) -> Any:
    facts: Any = None
    try:
        facts = json.loads(line)
        return msgspec.convert(facts, kinds)
    except (ValueError, msgspec.ValidationError) as error:  # the line itself is not shown: it may hold secrets
        kind = f"{facts.get('kind')!r:.40}" if isinstance(facts, dict) else "unknown"
        raise InternalError(f"a control message of {len(line)} bytes, kind {kind}, does not read: {error}") from None
