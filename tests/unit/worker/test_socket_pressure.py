"""What floods and crowds would do to others without the bounds of a worker's sockets: each is taken out here.

With them: `test_sockets.py`, "What waits for a front" and "Who has gone".
"""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.sockets.frames import Send, serial_of, socket_text
from holdfast_host.worker.sockets.front_links import FrontLink
from holdfast_host.worker.sockets.outgoing import Outgoing
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.socket_stage import SocketStage, left_by_a_dead_worker

FLOOD, EACH_BYTES = 50, 1_000
GONE = 12


def flood(room: SocketStage, socket: int) -> None:
    room.run("flooding", *[["send", {"ids": [socket_text(socket)]}, "x" * EACH_BYTES]] * FLOOD)


@pytest.mark.parametrize("counts_what_is_taken", [True, False])
def test_a_guest_that_floods_leaves_others_their_turn_unless_nobody_counts_what_a_front_has_taken(
    monkeypatch: pytest.MonkeyPatch, counts_what_is_taken: bool
) -> None:
    if not counts_what_is_taken:
        monkeypatch.setattr(FrontLink, "_may_send", lambda self, frame_bytes: True)
    room = SocketStage(monkeypatch, limits=Limits(front_ahead_bytes=10_000))
    flooded, other = room.front.accept("flooding"), room.front.accept("quiet")
    flood(room, flooded)
    room.run("quiet", ["send", {}, "hi"])
    room.settle()
    if counts_what_is_taken:
        room.front.taken(room.front.send_bytes)
    room.front.wait_told(lambda _: room.front.texts(other) == ["hi"])

    sends = [each.serials for each in room.front.told if isinstance(each, Send)]
    before = sends.index((serial_of(other),))
    assert before < FLOOD / 2 if counts_what_is_taken else before == FLOOD


def test_without_giving_up_what_waits_for_a_slow_front_would_grow_past_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the mechanism: nobody is closed, and the worker holds it all."""
    monkeypatch.setattr(FrontLink, "give_up", lambda self, owner: 0)
    limits = Limits(front_ahead_bytes=EACH_BYTES, front_unsent_bytes_max=10 * EACH_BYTES)
    room = SocketStage(monkeypatch, limits=limits)
    flood(room, room.front.accept("flooding"))
    room.settle()

    assert room.stage.do(lambda: room.worker.sockets.outgoing.waiting_bytes) > (FLOOD - 5) * EACH_BYTES
    assert room.front.closes() == []


@pytest.mark.parametrize(("knows_who_lives", "told"), [(True, 0), (False, GONE * (GONE - 1) // 2)])
def test_a_room_that_tells_all_of_each_close_tells_nobody_of_a_dead_front_unless_it_does_not_know_who_lives(
    monkeypatch: pytest.MonkeyPatch, knows_who_lives: bool, told: int
) -> None:
    """Else a front's death would cost the square of its sockets."""
    receivers: list[int] = []

    def tell_all(turn: Turn, event: dict[str, Any]) -> None:
        receivers.append(turn.sockets.count(None))
        turn.sockets.send(b"{}", b"somebody left", b"{}")

    before = SocketStage(monkeypatch)
    for _ in range(GONE):
        before.front.accept("a")
    if not knows_who_lives:
        monkeypatch.setattr(Outgoing, "is_live", lambda self, socket: True)
    after = SocketStage(monkeypatch, store=left_by_a_dead_worker(before.store), front=8, handler=tell_all)
    after.settle()

    assert len(receivers) == GONE
    assert sum(receivers) == told
