"""Mutations of the worker that are about sockets; `mutants.worker` runs them."""

from __future__ import annotations

from typing import Any, Final

from holdfast_host.worker.sockets.events import CloseEvent, EventTurn


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


MUTATIONS: Final = {each.__name__: each for each in (remove_sockets_before_they_are_heard,)}
