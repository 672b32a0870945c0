"""The supervisor hears everything that a child may say of itself."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest

from holdfast_host.supervisor.host import Host
from holdfast_host.supervisor.processes.child import Child
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control import operations
from holdfast_host.wire.control import protocol as control
from holdfast_host.wire.control.audit import RequestsRefused
from holdfast_host.wire.control.messages import Failure
from holdfast_host.wire.control.quotas import CountedStored
from holdfast_host.wire.control.tokens import TokensUsed

ASKED = control.Request(1, operations.ListFunctions("default"))
# What is said, and what follows: the calls of the host's parts, by name.
NEWS: list[tuple[control.ChildNews, list[str]]] = [
    (control.Ready(7), []),
    (control.Drained(), ["note_drained"]),
    (control.Unloadable("f", "damaged"), ["error", "repair"]),
    (control.CommitStalled(True), ["error", "tell_health"]),
    (control.CommitStalled(False), ["warning", "tell_health"]),
    (control.RoomChanged("the disk is full"), ["error", "tell_health"]),
    (control.RoomChanged(None), ["warning", "tell_health"]),
    (control.Fatal("EIO"), ["error", "request_stop"]),
    (ASKED, ["accept"]),
    (control.Withdraw(1), ["withdraw"]),
    (TokensUsed(["k3fq7wz2ab"]), ["note_used"]),
    (RequestsRefused([]), ["note_refused"]),
]


class Heard:
    """Stands for each part of a host: notes what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def note(*_: object, **__: object) -> Any:
            self.calls.append(name)
            return asyncio.sleep(0) if name == "repair" else None

        return note


@pytest.mark.parametrize(("message", "follows"), NEWS, ids=[repr(message) for message, _ in NEWS])
def test_what_a_child_says_of_itself_has_its_effect(message: control.ChildNews, follows: list[str]) -> None:
    async def play() -> list[str]:
        heard, host = Heard(), Host.__new__(Host)
        process = SupervisedProcess.__new__(SupervisedProcess)
        vars(process).update(label="worker 0", child=object(), stalled=None, shortage=None, _log=heard)
        vars(host).update(_log=heard, _operations=heard, _stop=heard, _deploys=heard, _tokens=heard, _repairs=set())
        vars(host).update(_audit=heard)
        vars(host).update(_tell_health=heard.tell_health, request_stop=heard.request_stop)
        host._on_message(process, message)
        await asyncio.gather(*host._repairs)
        return heard.calls

    assert asyncio.run(play()) == follows


def test_the_news_above_are_all_that_a_child_may_say_beside_its_answers() -> None:
    assert {type(message) for message, _ in NEWS} == set(get_args(control.ChildNews))
    answers = {*get_args(control.AnyAnswer), control.Pong}
    assert set(get_args(control.FromChild)) == set(get_args(control.ChildNews)) | answers


@pytest.mark.parametrize("answer", get_args(control.AnyAnswer), ids=lambda each: each.__name__)
def test_an_answer_is_handed_to_who_asked_and_no_other_kind_is(answer: Any) -> None:
    samples: dict[Any, control.AnyAnswer] = {
        control.Done: control.Done(1),
        control.Failed: control.Failed(1, Failure("InvalidComponentError", "refused")),
        control.FoundTypes: control.FoundTypes(1, [7]),
        CountedStored: CountedStored(1, 2, 3),
        control.Described: control.Described(1, {"actors": []}),
        control.Measured: control.Measured(1, {}),
        control.ShownActivity: control.ShownActivity(1, {}),
        control.GaveShards: control.GaveShards(1, [7]),
    }

    async def play(kind: Any) -> Any:
        child = Child.__new__(Child)
        loop = asyncio.get_running_loop()
        vars(child).update(
            label="worker 0", ended=loop.create_future(), closed=asyncio.Event(), unanswered_pings=3, _asked={},
            _ids=iter([1]), _transport=None, _partial=bytearray(), _on_message=None,
        )  # fmt: skip
        asking = asyncio.create_task(child.ask(control.Measure(), kind))
        await asyncio.sleep(0)
        child.data_received(control.pack_message(control.Pong(3)))
        child.data_received(control.pack_message(samples[answer]))
        assert child.unanswered_pings == 0
        return await asyncio.gather(asking, return_exceptions=True)

    for kind in (
        control.Done,
        control.FoundTypes,
        control.Described,
        control.Measured,
        control.ShownActivity,
        CountedStored,
        control.GaveShards,
    ):
        [found] = asyncio.run(play(kind))
        if answer is control.Failed:
            assert (type(found).__name__, str(found)) == ("InvalidComponentError", "refused")
        elif answer is kind:
            assert found == samples[answer]
        else:
            assert str(found) == f"worker 0 answered 'measure' with {control.kind_of(samples[answer])!r}"
