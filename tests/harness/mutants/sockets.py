"""Mutations of worker and front that are about sockets; `mutants.worker` and `mutants.front` run them."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import weakref
from pathlib import Path
from typing import Any, Final

from holdfast_host.front.sockets import recovery
from holdfast_host.wire.calls.frames import Kind
from holdfast_host.wire.pages.state_page import ENDED, EventFate, fate_of_event
from holdfast_host.worker.client_connections import ClientConnection
from holdfast_host.worker.sockets.events import CloseEvent, EventTurn, MessageEvent
from holdfast_host.worker.sockets.front_links import FrontLink, Part
from holdfast_host.worker.sockets.outgoing import Outgoing

_LOOK_S: Final = 0.002
_KIND_AT: Final = 4  # in a frame

# Machines that can be told what to do.


def cut_links(path: Path) -> None:
    """Where the file comes to be, it is removed, and the links of all fronts break, though both ends live."""
    links: weakref.WeakSet[ClientConnection] = weakref.WeakSet()
    take_hello: Any = ClientConnection._take_hello

    def known(self: ClientConnection, *given: Any) -> None:
        take_hello(self, *given)
        if self.front:
            links.add(self)

    def cut() -> None:
        while True:
            time.sleep(_LOOK_S)
            if path.exists():
                for each in list(links):
                    if not each.closed:
                        each._socket.shutdown(socket.SHUT_RDWR)
                path.unlink()

    ClientConnection._take_hello = known  # type: ignore[method-assign, assignment]
    threading.Thread(target=cut, daemon=True).start()


def die_before_messages_leave(path: Path) -> None:
    """Where the file is there, it is removed, and the worker dies: what its turn has sent waits for nothing more."""
    let_out = Outgoing.let_out

    def dying(self: Outgoing, part: Part) -> None:
        if path.exists():
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        let_out(self, part)

    Outgoing.let_out = dying  # type: ignore[method-assign]


def die_behind_messages(path: Path) -> None:
    """The same when messages have left, and nothing else has: their event is not answered."""
    flush = ClientConnection.flush

    def dying(self: ClientConnection) -> None:
        messages = [each for each in self._replies if each[_KIND_AT] == Kind.SEND]
        if messages and path.exists():
            self._replies = messages
            flush(self)
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        flush(self)

    ClientConnection.flush = dying  # type: ignore[method-assign]


# Mechanisms taken out of the worker.


def remove_sockets_before_they_are_heard() -> None:
    """A closed socket's row goes in a commit of its own, before its handler runs: who dies between never hears."""
    prepare: Any = CloseEvent.prepare

    def careless(self: CloseEvent, turn: EventTurn) -> bool:
        runs: bool = prepare(self, turn)
        if runs:
            turn.storage.put_socket(self.socket, None)
            turn.sync()
        return runs

    CloseEvent.prepare = careless  # type: ignore[method-assign]


def note_nothing_that_is_sent() -> None:
    """No send page."""
    FrontLink.note = lambda self, part: None  # type: ignore[method-assign]


def say_nothing_of_what_only_sent() -> None:
    """A turn that waits for no group leaves its event's word at *begun*."""
    note = MessageEvent.note

    def silent(self: MessageEvent, word: int) -> None:
        if word != ENDED:
            note(self, word)

    MessageEvent.note = silent  # type: ignore[method-assign]


# Mechanisms taken out of the front.


def take_the_unknown_for_heard() -> None:
    """An event of which nobody knows what it has done is over."""

    def judge(word: int, reached: int) -> EventFate:
        found = fate_of_event(word, reached)
        return EventFate.OVER if found is EventFate.UNKNOWN else found

    recovery.fate_of_event = judge  # type: ignore[attr-defined, assignment]


MUTATIONS: Final = {
    each.__name__: each
    for each in (
        cut_links,
        die_before_messages_leave,
        die_behind_messages,
        remove_sockets_before_they_are_heard,
        note_nothing_that_is_sent,
        say_nothing_of_what_only_sent,
    )
}
FRONT_MUTATIONS: Final = {each.__name__: each for each in (take_the_unknown_for_heard,)}
