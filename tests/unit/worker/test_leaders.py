"""What is the leader's is called by the thread that leads and by no other: marked once, asserted on the test stage."""

from __future__ import annotations

import ast
import queue
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import holdfast_host.worker
from holdfast_host.worker.commits.gate import Gate
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.turn import Turn
from tests.harness.leader_guard import OffLeaderError, is_marked, marked_methods, worker_classes
from tests.unit.worker.stage import Stage

WORKER: Final = Path(holdfast_host.worker.__file__).parent

# Every other class of the worker, and what keeps threads from each other there.
NOT_THE_LEADERS: Final = {
    "Leadership": "its own lock, held for a microsecond",
    "_Follower": "Leadership's",
    "Monitor": "one thread of its own, which changes nothing",
    "ComputeSlots": "its own lock",
    "_Waiter": "ComputeSlots'",
    "Output": "its own lock and queue",
    "LogRing": "the log's thread writes",
    "_Lane": "LogRing's",
    "_Piece": "made and read by one reader",
    "Worker": "put together before a leader is started, and its parts are marked",
    "WorkerProcess": "the main thread, before a leader is started; then the process's end",
    "Turn": "its own thread while it runs; what the leader does to it is marked there",
    "FunctionTurn": "as Turn",
    "PieceTurn": "as Turn",
    "SandboxPools": "a protocol",
    "EventTurn": "as Turn",
    "_Event": "MessageEvent's and CloseEvent's",
    "MessageEvent": "its turn's thread's while that runs, else the leader's table's",
    "CloseEvent": "as MessageEvent",
    "TurnJobs": "its turn's thread's",
    "TurnSockets": "its turn's thread's",
    "WaitingFrame": "never changes",
    "KeyedTurn": "its turn's thread's",
    "TurnRunner": "keeps nothing",
    "NoStorage": "keeps nothing",
    "LoadedType": "never changes",
    "DuePage": "data of Timetable, read by whichever thread is in the section",
    "LineBudget": "its own lock",
    "ThreadState": "an enumeration",
    "Stage": "an enumeration",
    "Group": "data of Gate; its commit reads what `take` has sealed",
    "Histogram": "data of Measures",
    "TypeMeasures": "data of Measures",
    "TurnHost": "a protocol",
    "OpenAnswer": "a protocol",
    "OpenCall": "a protocol",
    "Supervised": "a protocol",
    "Exit": "a protocol",
    "Breakable": "a protocol",
    "Waiting": "a protocol",
    "Page": "a protocol",
    "DeliveryOwner": "a protocol",
    "JobPage": "data of JobTimetable, as DuePage",
    "Transfers": "its reading thread's",
    "_Reading": "data of Transfers",
    "Answer": "data",
    "_Read": "data",
    "Facts": "data",
    "Caller": "a protocol",
    "PeerCall": "a protocol",
    "Asked": "a protocol",
    "TracedRunner": "as TurnRunner",
    "TurnTrace": "data of Tracer; what its turn's thread notes is read when that has ended",
    "AskedTrace": "data of Tracer",
    "Part": "data",
    "SpanRecord": "data",
    "SpanSink": "a protocol",
    "SharedStore": "a protocol",
    "_Giving": "data of Shards",
    "SpanExport": "a queue that one thread fills and another empties",
}


def test_every_class_of_the_worker_is_the_leaders_or_says_what_keeps_threads_apart_there() -> None:
    unmarked = {each.__name__ for each in worker_classes() if not is_marked(each)}

    assert unmarked == set(NOT_THE_LEADERS)


def test_no_sentence_says_what_is_the_leaders_beside_the_marks() -> None:
    """A sentence is checked by nobody."""
    claims = re.compile(r"the leader's\b|\(leader\b", re.IGNORECASE)
    marked = {f"{owner.__name__}.{name}" for owner, name, _ in marked_methods()}
    found = []
    for path in WORKER.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.ClassDef) and each.name != "Leadership":
                texts = {each.name: ast.get_docstring(each) or ""}
                for method in each.body:
                    if isinstance(method, ast.FunctionDef):
                        texts[f"{each.name}.{method.name}"] = ast.get_docstring(method) or ""
                found += [name for name, text in texts.items() if claims.search(text)]
                found += [name for name, text in texts.items() if name in marked and "any thread" in text.lower()]

    assert found == []


def test_the_marks_cover_what_they_are_made_for() -> None:
    covered = {f"{owner.__name__}.{name}" for owner, name, _ in marked_methods()}

    assert {
        "Gate.add",
        "Mailboxes.submit",
        "Directory.__len__",
        "Loop.lead",
        "Loop.is_settled",
        "Executor.run",
        "Committer.run",
        "Reception.receive",
        "Replies.flush",
        "Turn.begin",
        "ClientConnection.flush",
    } <= covered
    assert (
        not {"Inbox.post", "Executor.call_out", "Loop.anything_waits", "ActorCall.wait", "Alarms.is_due", "Turn.sync"}
        & covered
    )
    assert len(covered) > 120


def refused(stage: Stage, act: Callable[[], Any]) -> str:
    """What is said of it on a thread that never leads; the stage's leader has used everything before."""
    stage.call("a", "add", 1)
    with pytest.raises(OffLeaderError) as raised:
        act()
    return str(raised.value)


def test_a_thread_that_never_leads_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)

    assert refused(stage, lambda: stage.worker.mailboxes.depth()) == (
        "Mailboxes.depth is the leader's: the thread MainThread never leads"
    )
    assert "Loop.is_settled" in refused(stage, lambda: stage.worker.loop.is_settled)
    assert "Gate.take" in refused(stage, stage.worker.gate.take)
    assert "Directory.__len__" in refused(stage, lambda: len(stage.worker.directory))


def test_a_leader_in_a_section_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been given away at any moment: between two bytecodes, by the monitor."""
    said: queue.Queue[str] = queue.Queue()

    def look(turn: Turn, _: Any) -> None:
        with pytest.raises(OffLeaderError) as raised:
            stage.worker.gate.take()
        said.put(str(raised.value))

    stage = Stage(monkeypatch, guests={b"look": look})

    assert stage.call("a", "look") == (200, None)
    assert re.fullmatch(r"Gate.take is the leader's: in a section, .* may have lost the leadership", said.get())


def test_a_thread_that_has_lost_the_leadership_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    said: queue.Queue[str] = queue.Queue()

    def look(turn: Turn, _: Any) -> None:
        stage.worker.leadership.hand_over(turn.generation)
        with pytest.raises(OffLeaderError) as raised:
            stage.worker.gate.take()
        said.put(str(raised.value))

    stage = Stage(monkeypatch, guests={b"look": look})

    assert stage.call("a", "look") == (200, None)
    assert re.fullmatch(r"Gate.take is the leader's: the thread .* has lost the leadership", said.get())


def test_the_leader_of_another_worker_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Stage(monkeypatch), Stage(monkeypatch)
    one.call("a", "add", 1)
    other.call("a", "add", 1)

    def look() -> str:
        with pytest.raises(OffLeaderError) as raised:
            other.worker.gate.take()
        return str(raised.value)

    assert one.do(look) == "Gate.take is another worker's"


def test_a_worker_whose_leader_breaks_the_rule_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does a host's: no test over it passes by luck."""
    stage = Stage(monkeypatch)
    stage.call("a", "add", 1)
    commit = stage.store.commit

    def touch(*arguments: Any) -> Any:
        len(stage.worker.directory)
        return commit(*arguments)

    monkeypatch.setattr(stage.store, "commit", touch)
    stage.client.send("a", "add", 1)

    assert isinstance(stage.failures.get(timeout=10), OffLeaderError)


def test_what_no_leader_has_called_is_nobodys() -> None:
    """A class is tested without a worker, and a worker is put together before it is started."""
    assert Gate(0).take() is None


def test_a_mark_wraps_nothing() -> None:
    """What is marked is called as if it were not."""

    def method() -> None:
        pass

    assert leaders(method) is any_thread(method) is method
    assert leaders(Stage) is Stage
