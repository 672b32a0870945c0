"""The first message to each child: everything that it needs to begin. Descriptors by number are inherited."""

from __future__ import annotations

import msgspec

from holdfast_host.core.limits import Limits
from holdfast_host.wire.control.catalog import Catalog, Outbound
from holdfast_host.wire.control.edge import Edge
from holdfast_host.wire.control.messages import Message
from holdfast_host.wire.control.quotas import Quotas
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.tokens import KnownTokens

Quarantined = list[tuple[int, str]]  # the type's number and the name of each, see supervisor.crashes.quarantine


class CentralStore(msgspec.Struct):
    """Where PostgreSQL is, and as which host a worker claims its seat there."""

    dsn: str
    durability: str
    host: str
    life: int

    def __repr__(self) -> str:
        return f"<CentralStore of {self.host}>"  # without the password


class WorkerStart(Message, tag="start"):
    """The first message: everything a worker needs. Descriptors by number are inherited."""

    worker: int
    data: str
    listen_fd: int  # the worker's Unix socket, already listening; it belongs to the supervisor
    routing: Routing
    catalog: Catalog
    limits: Limits
    log_level: str = "info"
    secrets: dict[str, str] = {}
    running_fd: int = -1  # the page on which it notes whose turns run, see wire.running_turns_page; -1 for none
    quarantined: Quarantined = []
    check_arguments: bool = False  # for functions that do not say
    new_data: bool = True  # nothing can have been stored yet: partitions that are missing are made
    courier: str = ""  # the path of the Unix socket of outbound requests
    log_format: str = "text"
    fronts: list[int] = []  # the numbers of those that live, as in LiveFronts
    traces: str = ""  # the URL to which spans are sent, as OTLP; empty: nothing is traced
    archived: bool = False  # what is committed is written down for the archive too
    store: CentralStore | None = None  # None: storage is in the data directory
    quotas: Quotas = Quotas()

    def __repr__(self) -> str:
        return f"<WorkerStart {self.worker}>"  # without the secrets


class FrontStart(Message, tag="start"):
    """The first message: everything a front needs."""

    front: int  # its place among the fronts, from 0
    data: str
    listen_fd: int  # the HTTP socket, bound and listening; it belongs to the supervisor
    url: str
    domain: str
    token: str | None
    routing: Routing
    catalog: Catalog
    limits: Limits
    log_level: str = "info"
    allowed_hosts: tuple[str, ...] = ()  # names that requests may be for, beside the domain's and loopback's
    edge: Edge = Edge()
    number: int = 1  # of this process: another at each start, see supervisor.processes.front_numbers
    known_heads: bool = True  # calls with heads that have passed once are served past the parser
    root_fd: int = -1  # a second HTTP socket, all of which is one function's; -1: there is none
    root_function: str = ""
    log_format: str = "text"
    tokens: KnownTokens = KnownTokens()  # beside `token`, which the host was started with
    ui: bool = True  # the inspector is served
    access_log: str = ""  # the file with a line for each request; empty: there is none
    access_log_fd: int = -1  # it is open as this descriptor instead, which stays as it is
    traces: bool = False  # what requests say of the trace that they are part of goes to the workers
    archive: str = ""  # the folder of the archive, or its address in a bucket; empty: there is none

    def __repr__(self) -> str:
        return f"<FrontStart {self.front}>"  # without the token


class CourierStart(Message, tag="start"):
    """The first message: everything the courier needs."""

    listen_fd: int  # the Unix socket for workers, already listening; it belongs to the supervisor
    limits: Limits
    outbound: tuple[str, ...]  # the operator's patterns
    outbound_private: tuple[tuple[str, int | None], ...]  # addresses and names that may be private, at which port
    functions: dict[str, Outbound]
    tenants: dict[str, int] = {}  # how many requests of each may be under way; of others as many as there is room for
    secrets: dict[str, str] = {}
    sealed: dict[str, str] = {}  # of those that may go to one origin alone: which
    log_level: str = "info"
    log_format: str = "text"

    def __repr__(self) -> str:
        return "<CourierStart>"  # without the secrets
