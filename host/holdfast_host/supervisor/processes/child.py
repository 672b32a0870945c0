"""One child process and its control channel.

A child is spawned, never forked from a running interpreter: `python -m MODULE FD` in a session of its own, with the
lock's descriptor and its listening socket inherited. Its end is seen through a pidfd; it is always waited for, so a
child that has ended here is no zombie and holds nothing any more.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from msgspec.structs import replace

from holdfast_host.core.errors import HostUnavailableError, InternalError
from holdfast_host.wire.control.messages import Message, Question
from holdfast_host.wire.control.protocol import (
    AnyAnswer,
    ChildNews,
    Described,
    Done,
    Failed,
    FoundTypes,
    GaveShards,
    Measured,
    Ping,
    Pong,
    ShownActivity,
    kind_of,
    pack_message,
    read_from_child,
)
from holdfast_host.wire.control.quotas import CountedStored
from holdfast_host.wire.control.starts import CourierStart, FrontStart, WorkerStart

_Answer = TypeVar("_Answer", Done, FoundTypes, Described, Measured, ShownActivity, CountedStored, GaveShards)

# -P: the operator's working directory is no place to import modules from.
_PYTHON: Final = (sys.executable, "-P", "-m")

_LAST_WORDS_S: Final = 1.0  # for a channel that somebody else holds open after the child's end


@dataclass(frozen=True, slots=True)
class Programs:
    """The command lines of the children; the number of the control descriptor is appended."""

    worker: tuple[str, ...] = (*_PYTHON, "holdfast_host.worker.main")
    front: tuple[str, ...] = (*_PYTHON, "holdfast_host.front.main")
    courier: tuple[str, ...] = (*_PYTHON, "holdfast_host.courier.main")


class ChildGoneError(HostUnavailableError):
    """The child ended before it answered."""


class Child(asyncio.Protocol):
    """A running child; made by `spawn_child`, its caller's until `ended` is set. Event loop's thread only."""

    def __init__(self, label: str, process: subprocess.Popen[bytes], on_message: Callable[[ChildNews], None]):
        self.label = label
        self.process = process
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()  # the channel's end: the child is going, or gone
        self.unanswered_pings = 0
        self.started_at = self.heard_at = asyncio.get_running_loop().time()  # heard: of its last answer to a ping
        self._on_message = on_message
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[AnyAnswer]] = {}
        self._transport: asyncio.Transport | None = None
        self._partial = bytearray()
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def send(self, message: Message) -> None:
        """Send one message; one to a child that is gone is dropped, its end is seen elsewhere."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack_message(message))

    async def ask(self, question: Question, kind: type[_Answer]) -> _Answer:
        """Ask the child; returns its answer, which is of this kind, when it has come.

        Raises:
            ChildGoneError: it ended before.
            HoldfastError: it answered with this error.
        """
        if self.ended.done() or self.closed.is_set():
            raise self._gone(kind_of(question))
        number = next(self._ids)
        answer: asyncio.Future[AnyAnswer] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self.send(replace(question, id=number))
            found = await answer
        finally:
            del self._asked[number]
        if not isinstance(found, kind):
            raise InternalError(f"{self.label} answered {kind_of(question)!r} with {kind_of(found)!r}")
        return found

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.unanswered_pings += 1
        self.send(Ping(self.unanswered_pings))

    def kill(self) -> None:
        """SIGKILL, which is safe at any moment; `ended` follows."""
        if not self.ended.done():
            self.process.send_signal(signal.SIGKILL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The channel is up."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Cut into lines; the child's answers to `ask` and `ping` end here, the rest is its owner's."""
        self._partial += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            message = read_from_child(line)
            match message:
                case Pong():
                    self.unanswered_pings = 0
                    self.heard_at = asyncio.get_running_loop().time()
                case (
                    Done()
                    | Failed()
                    | FoundTypes()
                    | Described()
                    | Measured()
                    | ShownActivity()
                    | CountedStored()
                    | GaveShards()
                ):
                    self._settle(message)
                case _:
                    self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The child closed its end, or is gone; everything that it said has been read."""
        self.closed.set()
        if self.process.returncode is not None:
            self._end()

    def _settle(self, message: AnyAnswer) -> None:
        """Hand an answer to whoever asked."""
        answer = self._asked.get(message.id)
        if answer is None or answer.done():
            return
        if isinstance(message, Failed):
            answer.set_exception(message.error.to_error())
        else:
            answer.set_result(message)

    def _reap(self) -> None:
        """The pidfd is readable: wait for the process, then for the end of what it has said before it ended."""
        self.process.wait()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self.closed.is_set():
            self._end()
        else:
            loop.call_later(_LAST_WORDS_S, self._end)

    def _end(self) -> None:
        """Tell whoever waits."""
        if self.ended.done():
            return
        if self._transport is not None:
            self._transport.close()
        self.closed.set()
        self.ended.set_result(self.process.returncode)
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(self._gone("answering"))

    def _gone(self, doing: str) -> ChildGoneError:
        return ChildGoneError(f"{self.label} (pid {self.pid}) ended before {doing!r} was done")


async def spawn_child(
    label: str,
    program: Sequence[str],
    start: Callable[[], WorkerStart | FrontStart | CourierStart],
    inherited: Sequence[int],
    on_message: Callable[[ChildNews], None],
) -> Child:
    """Start a process and send it `start`.

    Args:
        label: `worker 0`, for the log.
        program: the command line, to which the control descriptor's number is appended.
        start: makes the first message, once the child can be told what changes after it.
        inherited: descriptors that the child gets under the same numbers.
        on_message: called with every message that answers no `ask` or `ping`.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    environment = {name: value for name, value in os.environ.items() if name != "HOLDFAST_TOKEN"}
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 vfork returns in a millisecond; the child is watched by pidfd
                [*program, str(theirs.fileno())],
                pass_fds=(theirs.fileno(), *inherited),
                stdin=subprocess.DEVNULL,
                stdout=2,  # our own stdout carries exactly one line
                start_new_session=True,
                env=environment,
            )
        except OSError:
            ours.close()
            raise
    child = Child(label, process, on_message)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: child, ours)
    child.send(start())
    return child
