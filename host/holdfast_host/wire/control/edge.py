"""What the fronts are told of whoever stands between them and their clients. It may change while they run."""

from __future__ import annotations

from msgspec import Struct

from holdfast_host.wire.control.messages import Message


class Certificate(Struct, frozen=True, forbid_unknown_fields=True):
    """What a front shows to clients over TLS, as PEM."""

    chain: str
    key: str

    def __repr__(self) -> str:
        return "<Certificate>"  # without the key


class Edge(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    trusted_proxies: tuple[str, ...] = ()  # networks whose word about a request's origin counts
    cors_origins: tuple[str, ...] = ()  # whose pages may use the host's own API
    certificate: Certificate | None = None  # without one, HTTP is spoken as it is


class NewEdge(Message, tag="edge"):
    """What holds from now on, for new connections and requests."""

    edge: Edge
