"""The jobs of an instance as one of its turns sees them: its own among them, and what each limit refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.core.errors import LimitError
from holdfast_host.core.limits import KIB
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Batch, Changes, StoredInstance
from holdfast_host.storage.unflushed import Pending
from tests.harness.partitions import faults_of, rows_of, sweep_all
from tests.unit.storage.clearing import FEW, Group
from tests.unit.storage.conftest import open_lmdb
from tests.unit.storage.test_overlay import LIMITS, Instance


def job(key: str = "", due_us: int = 5, *, facts: bytes = b"{}", repeats: bool = False) -> Job:
    return Job("run", due_us, key=key, facts=facts, repeats=repeats)


def due_of(turn: Overlay) -> list[int]:
    found, done = turn.list_jobs(b"", 1000)
    assert done
    return sorted(each.due_us for _, each in found)


def test_a_turn_sees_the_jobs_it_has_made_over_those_of_earlier_turns_and_of_the_store() -> None:
    instance = Instance()
    first = instance.turn()
    stored = first.put_job(job(due_us=1))
    instance.commit(first)
    second = instance.turn()
    second.put_job(job(due_us=2))
    instance.pending.add(second.take(), 99)
    turn = instance.turn()
    turn.put_job(job(due_us=3))

    assert due_of(turn) == [1, 2, 3]
    assert turn.cancel_job(stored)
    assert not turn.cancel_job(stored)
    assert due_of(turn) == [2, 3]


def test_a_job_of_a_key_replaces_the_earlier_one_under_another_id() -> None:
    instance = Instance()
    first = instance.turn()
    old = first.put_job(job("k", 1))
    instance.commit(first)
    turn = instance.turn()
    new = turn.put_job(job("k", 2))

    assert old != new
    assert due_of(turn) == [2]
    instance.commit(turn)
    assert [id_ for id_, _ in instance.turn().list_jobs(b"", 9)[0]] == [new]
    assert instance.turn().cancel_job_of_key("k")
    assert not instance.turn().cancel_job_of_key("other")


def test_a_cron_that_says_the_same_again_changes_nothing() -> None:
    """Else one that a constructor makes would never run."""
    instance = Instance()
    first = instance.turn()
    made = first.put_job(job("report", 10, facts=b"daily", repeats=True))
    instance.commit(first)
    turn = instance.turn()

    assert turn.put_job(job("report", 20, facts=b"daily", repeats=True)) == made
    assert not turn.wrote
    assert turn.put_job(job("report", 20, facts=b"hourly", repeats=True)) != made
    assert due_of(turn) == [20]


def test_jobs_of_a_savepoint_that_is_rolled_back_never_were() -> None:
    instance = Instance()
    turn = instance.turn()
    kept = turn.put_job(job("k", 1))
    turn.savepoint()
    turn.put_job(job("k", 2))
    turn.put_job(job(due_us=3))
    turn.rollback()

    assert due_of(turn) == [1]
    assert turn.take().jobs == {kept: job("k", 1)}


def test_a_job_that_is_handled_is_gone_for_its_turn_and_goes_with_what_the_turn_writes() -> None:
    instance = Instance()
    first = instance.turn()
    id_ = first.put_job(job())
    instance.commit(first)
    turn = instance.turn()
    turn.take_job(id_, None)

    assert due_of(turn) == []
    turn.put(b"k", b"v")
    early = turn.take_early()
    assert early.jobs is None, "what sync() commits leaves the job as it is"
    assert turn.take().jobs == {id_: None}


def test_a_cron_that_is_handled_has_its_next_time_unless_the_handler_says_otherwise() -> None:
    instance = Instance()
    first = instance.turn()
    id_ = first.put_job(job("report", 10, facts=b"daily", repeats=True))
    instance.commit(first)
    following = job("report", 20, facts=b"daily")
    constructor = instance.turn()
    constructor.take_job(id_, following)

    assert constructor.put_job(job("report", 20, facts=b"daily", repeats=True)) == id_
    assert constructor.take().jobs == {id_: following}
    ending = instance.turn()
    ending.take_job(id_, following)
    assert ending.cancel_job_of_key("report")
    assert ending.take_early().jobs == {id_: None}
    assert ending.take().jobs is None, "a sync() has said it already"


@pytest.mark.limit("job_bytes_max", "turn_jobs_max", "instance_jobs_max")
def test_each_limit_on_jobs_names_itself() -> None:
    instance = Instance(LIMITS.replace(turn_jobs_max=3, instance_jobs_max=5))
    with pytest.raises(LimitError, match=r"a job of \d+ bytes exceeds the limit of 262144 bytes \(Account/alice\)"):
        instance.turn().put_job(job(facts=b"x" * 256 * KIB))
    first = instance.turn()
    for _ in range(3):
        first.put_job(job())
    with pytest.raises(LimitError, match="making 4 jobs in one turn exceeds the limit of 3"):
        first.put_job(job())
    instance.commit(first)
    second = instance.turn()
    assert second.cancel_job(second.list_jobs(b"", 1)[0][0][0])
    for _ in range(3):
        second.put_job(job())
    instance.commit(second)
    with pytest.raises(LimitError, match="one more than 5 jobs of an instance exceeds the limit of 5"):
        instance.turn().put_job(job())
    replacing = instance.turn()
    replacing.cancel_job(replacing.list_jobs(b"", 1)[0][0][0])
    replacing.put_job(job())


def test_a_job_that_is_refused_leaves_the_one_that_it_would_have_replaced() -> None:
    instance = Instance(LIMITS.replace(turn_jobs_max=2, instance_jobs_max=3))
    first = instance.turn()
    kept = first.put_job(job("k", 1))
    instance.commit(first)
    turn = instance.turn()
    for due_us in (2, 3):
        turn.put_job(job(due_us=due_us))
    with pytest.raises(LimitError, match="making 3 jobs in one turn exceeds the limit of 2"):
        turn.put_job(job("k", 4))

    assert due_of(turn) == [1, 2, 3]
    instance.commit(turn)
    full = instance.turn()
    assert full.put_job(job("k", 5)) != kept, "it takes the place of one, and needs none of its own"
    assert due_of(full) == [2, 3, 5]


def test_a_turn_counts_the_jobs_of_its_instance_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To count thousands takes milliseconds: a turn that makes a thousand would take ten seconds."""
    instance = Instance(LIMITS.replace(instance_jobs_max=40))
    first = instance.turn()
    ids = [first.put_job(job(facts=b"x" * 1_000)) for _ in range(20)]
    instance.commit(first)
    counted: list[StoredInstance] = []
    count = instance.store.jobs.count

    def count_once_more(stored: StoredInstance) -> int:
        counted.append(stored)
        return count(stored)

    monkeypatch.setattr(instance.store.jobs, "count", count_once_more)
    turn = instance.turn()
    for _ in range(20):
        turn.put_job(job())
    assert len(counted) == 1
    with pytest.raises(LimitError, match="one more than 40 jobs"):
        turn.put_job(job())
    turn.savepoint()
    for id_ in ids[:5]:
        turn.cancel_job(id_)
    turn.put_job(job())
    turn.rollback()
    with pytest.raises(LimitError, match="one more than 40 jobs"):
        turn.put_job(job())


def test_the_jobs_of_an_erased_instance_are_swept_by_weight_with_all_their_rows(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    commit, alice = Group(store), store.locate(7, b"alice")
    rows = rows_of(store)
    commit(Batch(alice, Changes(jobs={new_id(""): job(facts=b"x" * 3000) for _ in range(40)})))
    turn = Overlay(store, alice, Pending(), FEW, "T/alice")
    assert turn.erase()
    commit(Batch(alice, turn.take()))

    assert not alice.exists
    assert store.jobs.listing("armed", b"", 99) == ([], None), "what is garbage is not listed"
    assert sweep_all(store) > 4
    assert faults_of(store) == []
    assert rows_of(store) == rows
    store.close()
