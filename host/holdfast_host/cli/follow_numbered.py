"""Following what the host tells in order, over its ends: each line is asked for behind the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from holdfast_host.cli.client import HostClient, RefusedError, StrangeAnswerError, UnreachableError
from holdfast_host.cli.output import say

PAUSE_S: Final = 0.5  # between two attempts to reach a host
_Line = TypeVar("_Line")


def follow_numbered(
    client: HostClient, read_on: Callable[[], Iterator[_Line]], pause: Callable[[float], None]
) -> Iterator[_Line]:
    """Each line once, without end; what a host that is away has to tell meanwhile comes when it is back.

    Args:
        client: to the host.
        read_on: asks for what follows the last line that it gave.
        pause: waits so many seconds.

    Raises:
        CommandFailedError: the host cannot be reached at first, or refuses.
    """
    seen = False
    while True:
        try:
            for line in read_on():
                seen = True
                yield line
        except (UnreachableError, StrangeAnswerError):
            if not seen:
                raise
        except RefusedError as error:
            if not (seen and error.retryable):
                raise
        else:
            seen = True
        say(f"The host at {client.url} has stopped or is not reached any more: waiting for it.", err=True)
        pause(PAUSE_S)
