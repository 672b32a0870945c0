"""The answer to a request of a job, published to a topic while it comes: what a piece of it is, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from holdfast._actor import StatefulActor
from holdfast._errors import CallRefusedError
from holdfast._text_streams import read_events
from holdfast._topics import AGAIN, KEEP_MAX, RESET

_MESSAGE: Final = "message"  # the kind of an event that names none
_RESERVED: Final = frozenset({_MESSAGE, AGAIN, RESET})
_NAME_BYTES_MAX: Final = 1_024  # of an event, wherever it is sent


def publish_piece(actor: object | None, label: str, facts: dict[str, Any]) -> None:
    """Publish what has come of an answer.

    Args:
        actor: The instance.
        label: What it is called in errors.
        facts: What the host hands to the `job` export.
    """
    if not isinstance(actor, StatefulActor):
        raise CallRefusedError("ActorUnknownMethodError", f"{label} has no topics")
    topic, piece = facts["topic"], facts["piece"]
    if facts["again"]:
        actor.ctx.publish(topic, {"id": facts["id"], "tries": facts["tries"]}, event=AGAIN, keep=KEEP_MAX)
    for event, data in _events_of(piece["form"], piece["text"]):
        actor.ctx.publish(topic, data, event=event, keep=KEEP_MAX)


def _events_of(form: str, text: str) -> Iterator[tuple[str | None, str]]:
    """What each event is called, and its data. A name that is the topic's own, or that none may have, is left out."""
    if form == "events":
        for each in read_events([text.encode()]):
            yield (each.event if _is_name(each.event) else None), each.data
    elif form == "lines":
        for line in text.split("\n"):
            if line.strip():
                yield None, line.rstrip("\r")
    else:
        yield None, text


def _is_name(event: str) -> bool:
    """Whether a topic can take that name from whoever answers."""
    return event not in _RESERVED and "\0" not in event and len(event.encode()) <= _NAME_BYTES_MAX
