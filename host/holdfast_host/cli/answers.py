"""What a host answers, as far as commands use it: the one check that it is a Holdfast host that has answered.

A proxy, another server, a host of another age answers JSON too. Commands say of each request what they go on to use,
and `shapes.misfit` compares the answer with that before they do. What they do not use may be there, or not.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NotRequired, TypedDict

from holdfast_host.cli.shapes import Bounds

ANY: Final[Any] = Any  # what a method returned, what somebody stored

# Of no more digits than Python shows: an integer of any length is somebody's value, and none of what a host counts.
Count = Annotated[int, Bounds(most=(1 << 63) - 1)]


class Refusal(TypedDict):
    """The error of a response that is none of success."""

    name: str
    message: str
    retryable: NotRequired[bool]
    code: NotRequired[str | None]


class RefusedAnswer(TypedDict):
    """A response that is none of success."""

    error: Refusal


class Binding(TypedDict):
    """A binding of a function, in a listing."""

    type: str
    owner: NotRequired[bool]
    optional: NotRequired[bool]


class Version(TypedDict):
    """One version that is kept of a function."""

    version: Count
    sha256: str
    created_at: str
    disk_bytes: NotRequired[Count]


class NamedSecret(TypedDict):
    """A secret that a function's manifest names."""

    name: str
    set: bool


class RunningFunction(TypedDict):
    """A function after a deploy or a rollback; the last line of a deploy that is followed is one."""

    version: Count
    url: str
    func_id: str
    versions: NotRequired[list[Version]]
    disk_bytes: NotRequired[Count]
    secrets: NotRequired[list[NamedSecret]]


class RollbackPreview(TypedDict):
    """What a rollback would break, and why it would be refused."""

    version: Count
    breaks: list[str]
    refused: str | None


class KeptVersions(TypedDict):
    """A function whose versions are listed."""

    version: Count
    versions: list[Version]
    disk_bytes: NotRequired[Count]


class ListedFunction(TypedDict):
    """A function among all."""

    name: str
    version: Count
    url: str
    status: str
    reason: NotRequired[str]
    actors: list[Binding]
    versions: Annotated[list[Version], Bounds(least=1)]
    disk_bytes: NotRequired[Count]


class Functions(TypedDict):
    """What is deployed."""

    functions: list[ListedFunction]


class Undeployment(TypedDict):
    """A function as it was before it was deleted."""

    name: str


class Method(TypedDict):
    """A method of an actor type."""

    name: str
    signature: str
    doc: str
    parameters: NotRequired[list[dict[str, Any]]]


class ActorType(TypedDict):
    """A deployed actor type."""

    type: str
    language: NotRequired[str]
    function: str
    version: Count
    methods: list[Method]


class ActorTypes(TypedDict):
    """All of them."""

    actors: list[ActorType]


class UndeployedType(TypedDict):
    """A type whose instances are left."""

    type: str
    function: str
    func_id: str


class UndeployedTypes(TypedDict):
    """All of them."""

    actors: list[UndeployedType]


class Released(TypedDict):
    """Whether it was quarantined."""

    released: bool


class Evicted(TypedDict):
    """Whether it was in memory."""

    evicted: bool


class Deleted(TypedDict):
    """Whether it was there."""

    deleted: bool


class StoredKey(TypedDict):
    """What was written."""

    key: str


class Alarm(TypedDict):
    """An alarm of an instance."""

    due: str
    state: str
    retry_count: Count
    last_error: str | None


class ListedAlarm(Alarm):
    """An alarm among all; without a type where no deployed function has that."""

    type: str | None
    type_id: Count
    name: str


class Job(TypedDict):
    """A job of an instance."""

    id: str
    kind: str
    state: str
    due: str
    key: str | None
    cron: str | None
    tz: str | None
    method: str | None
    to: str | None
    then: str | None
    tries: Count
    unknown: bool
    last_error: str | None


class ListedJob(Job):
    """A job among all; without a type where no deployed function has that."""

    type: str | None
    type_id: Count
    name: str


class ShownJob(Job):
    """A job with what it is called with or sends, and its outcome."""

    payload: Any
    outcome: Any


class TriedJob(TypedDict):
    """A job that is due now."""

    id: str
    state: str


class Inspected(TypedDict):
    """An instance from outside."""

    active: bool
    queued: Count
    quarantined: bool
    version: Count
    alarm: Alarm | None
    keys: Count
    bytes: Count
    apart_bytes: NotRequired[Count]
    jobs: NotRequired[Count]


class StoredEntry(TypedDict):
    """A key with its value, or with the text of one that cannot be shown."""

    key: str
    value: NotRequired[Any]
    raw: NotRequired[str]


class StoragePage(TypedDict):
    """Some keys of an instance."""

    entries: list[StoredEntry]
    next: str | None


class ListedInstance(TypedDict):
    """An instance of a type."""

    name: str
    bytes: Count


class ListedSocket(TypedDict):
    """A socket of an instance."""

    id: str
    kind: str
    opened_at: str
    tags: list[str]
    attachment: NotRequired[Any]


class ClosedSocket(TypedDict):
    """A socket that was closed from outside."""

    closed: str


class ExportCounts(TypedDict):
    """What an export has had."""

    keys: Count
    bytes: Count
    instances: NotRequired[Count]


class ExportEnd(TypedDict):
    """The last line of an export."""

    end: ExportCounts


class Imported(TypedDict):
    """An instance that was imported, or cloned."""

    type: str
    name: str
    keys: Count
    alarm: bool
    jobs: Count
    jobs_left_out: Count


class Stage(TypedDict):
    """A line of a deploy that is under way."""

    stage: str


def page_of(field: str, row: Any) -> Any:
    """The shape of a page of a listing."""
    return TypedDict("Page", {field: list[row], "cursor": str | None})  # type: ignore[operator]


def missing_secrets(function: RunningFunction) -> list[str]:
    """One sentence for each secret that a deployed function names and that is not set."""
    unset = [each["name"] for each in function.get("secrets", ()) if not each["set"]]
    return [
        f"holdfast.toml names the secret {name}, which this host does not have: env has no {name} before"
        f" 'holdfast secret set {name}'."
        for name in unset
    ]
