"""What a look at one thing says: how it is, and what to do where it is not well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"  # a host runs, and may meet its end there
    FAULT = "fault"  # a host does not start, or loses what it acknowledged


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: its name, for programs too.
        state: how it is.
        said: what was found, with figures.
        todo: what to do; empty where it is well.
    """

    what: str
    state: State
    said: str
    todo: str = ""

    @classmethod
    def ok(cls, what: str, said: str) -> Check:
        """It is well."""
        return cls(what, State.OK, said)

    @classmethod
    def warning(cls, what: str, said: str, todo: str) -> Check:
        """It may become a fault."""
        return cls(what, State.WARNING, said, todo)

    @classmethod
    def fault(cls, what: str, said: str, todo: str) -> Check:
        """It has to be mended."""
        return cls(what, State.FAULT, said, todo)


def size(count: float) -> str:
    """Bytes as people read them: `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
