"""What every message of the control channel is made of; the messages are in `control`."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from holdfast_host.core.errors import HoldfastError


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """An error on its way to another process."""

    name: str
    message: str
    code: str | None = None
    status: int | None = None

    @classmethod
    def of(cls, error: HoldfastError) -> Failure:
        """For a message."""
        return cls(error.name, error.message, error.code, error.status)

    def to_error(self) -> HoldfastError:
        """The error again; InternalError for a name that is none of ours."""
        return HoldfastError.from_facts(msgspec.structs.asdict(self))


class Message(Struct, forbid_unknown_fields=True, tag_field="kind"):
    """One message; its tag is its `kind` on the wire."""


class Question(Message, kw_only=True):
    """To a child, which answers with the same `id`."""

    id: int = 0  # who sends it gives it one
