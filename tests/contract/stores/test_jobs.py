"""What every Store promises of jobs; see holdfast_host.storage.jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast_host.storage.jobs import ID_BYTES, STATES, Job, id_prefix, new_id
from holdfast_host.storage.store import Changes, Receipt, Store
from tests.contract.stores.committing import Committer

ACCOUNT, ROOM = 7, 8
FULL = Job(
    "call", 1_700, 1_600, "retrying", "order/1", b'{"url":"x"}', 3, 2, 1_650, True, True, True, "no", b'{"ok":false}'
)
STREAMING = replace(
    FULL, kind="http", tried_us=0, pieces=1_650, again=True
)  # of a request nobody asks when it was first tried


def ids(found: list[tuple[bytes, Job]]) -> list[bytes]:
    return [id_ for id_, _ in found]


@pytest.mark.parametrize("job", [FULL, STREAMING], ids=["call", "streaming"])
def test_a_job_comes_back_as_it_was_kept(store: Store, job: Job) -> None:
    commit = Committer(store)
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    id_ = new_id("order/1")
    commit((alice, Changes(jobs={id_: job})))

    assert store.jobs.get(alice, id_) == job
    assert store.jobs.get(bob, id_) is None
    assert store.jobs.get(alice, new_id("order/1")) is None, "an id is never used twice"
    assert alice.apart_bytes == job.size_bytes
    assert alice.exists
    commit((alice, Changes(jobs={id_: None})))
    assert store.jobs.get(alice, id_) is None
    assert (alice.apart_bytes, alice.exists) == (0, False)


def test_the_job_of_a_key_is_found_by_its_prefix_and_no_unkeyed_one_is(store: Store) -> None:
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    keyed = new_id("a")
    unkeyed = {new_id(""): Job("run", 1) for _ in range(50)}
    commit((alice, Changes(jobs={keyed: Job("run", 1, key="a"), **unkeyed})))

    assert ids(store.jobs.page(alice, b"", id_prefix("a"), 9)[0]) == [keyed]
    assert store.jobs.page(alice, b"", id_prefix("b"), 9) == ([], True)
    assert store.jobs.count(alice) == 51


def test_jobs_are_read_page_by_page_in_the_order_of_their_ids(store: Store) -> None:
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    made = sorted(new_id(f"{number}") for number in range(7))
    commit((alice, Changes(jobs={id_: Job("run", 1) for id_ in made})))

    first, done = store.jobs.page(alice, b"", b"", 5)
    rest, all_done = store.jobs.page(alice, first[-1][0], b"", 5)

    assert (ids(first), done) == (made[:5], False)
    assert (ids(rest), all_done) == (made[5:], True)


def test_each_pool_finds_its_own_jobs_in_due_order_and_goes_on_from_where_it_was(store: Store) -> None:
    """What one pool has to do is never looked for behind what another one has."""
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    runs = {new_id(""): Job("run", due_us) for due_us in (50, 10, 40, 20, 30)}
    others = {new_id(""): Job("call", 5), new_id(""): Job("http", 5, state="waiting"), new_id(""): Job("http", 6)}
    commit((alice, Changes(jobs={**runs, **others})))

    first = store.jobs.due("run", {}, 100, 4)
    rest = store.jobs.due("run", first.positions, 100, 4)

    assert [row.due_us for row in first.rows] == [5, 10, 20, 30], "what waits for `then` is a turn to run"
    assert not first.is_all
    assert [row.due_us for row in rest.rows] == [40, 50]
    assert rest.is_all
    assert [row.due_us for row in store.jobs.due("call", {}, 100, 9).rows] == [5]
    assert [row.due_us for row in store.jobs.due("http", {}, 100, 9).rows] == [6]
    assert store.jobs.due("run", {}, 5, 9).rows == []


def test_the_due_jobs_of_one_instance_are_found_without_those_of_others(store: Store) -> None:
    commit = Committer(store)
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    made = {bytes((1 + number,)) * ID_BYTES: Job("run", 10 * number) for number in range(5)}
    commit((alice, Changes(jobs={**made, b"\x70" * ID_BYTES: Job("call", 1)})), (bob, Changes(jobs={**made})))

    found, done = store.jobs.due_of(alice, "run", 35, {b"\1" * ID_BYTES}, 2)

    assert [(row.stored, row.due_us) for row in found] == [(alice, 10), (alice, 20)]
    assert not done
    assert store.jobs.due_of(alice, "run", 35, {b"\1" * ID_BYTES}, 3)[1]


def test_a_job_that_has_moved_is_due_only_then_and_one_that_rests_never(store: Store) -> None:
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    moved, gone, parked = new_id(""), new_id(""), new_id("")
    commit((alice, Changes(jobs={each: Job("run", 10) for each in (moved, gone, parked)})))
    commit((alice, Changes(jobs={moved: Job("run", 20), gone: None, parked: Job("run", 10, state="parked")})))

    assert [(row.due_us, row.id) for row in store.jobs.due("run", {}, 100, 9).rows] == [(20, moved)]
    assert store.jobs.parked(ACCOUNT, 9) == [(alice, parked)]
    assert store.jobs.parked(ROOM, 9) == []


@pytest.mark.parametrize("state", STATES)
def test_jobs_are_listed_by_state_page_by_page(store: Store, state: str) -> None:
    commit = Committer(store)
    names = [b"n%d" % number for number in range(8)]
    for at, name in enumerate(names):
        commit((store.locate(ACCOUNT, name), Changes(jobs={new_id(""): Job("run", at, state=each) for each in STATES})))
    found: list[bytes] = []
    after: bytes | None = b""
    while after is not None:
        page, after = store.jobs.listing(state, after, 3)
        assert len(page) <= 3
        assert all(each.job.state == state for each in page)
        found += [each.name for each in page]

    assert sorted(found) == names


def test_erasing_takes_jobs_and_receipts_and_clearing_takes_neither(store: Store) -> None:
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    kept, later = new_id(""), new_id("")
    receipt = Receipt(4_000_000_000, 200, b"f" * 16, b"7")
    commit((alice, Changes({b"k": b"v"}, jobs={kept: Job("run", 10)}, receipts={b"h" * 16: receipt})))
    commit((alice, Changes(cleared=True)))
    assert store.jobs.count(alice) == 1

    commit((alice, Changes(cleared=True, erased=True, jobs={later: Job("run", 30)})))

    assert ids(store.jobs.page(alice, b"", b"", 9)[0]) == [later]
    assert store.receipt(alice, b"h" * 16) is None
    assert [row.id for row in store.jobs.due("run", {}, 100, 9).rows] == [later]
    assert [each.id for each in store.jobs.listing("armed", b"", 9)[0]] == [later]


def test_an_instance_with_only_a_job_exists_after_its_other_jobs_have_gone(store: Store) -> None:
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    first, second = new_id(""), new_id("")
    commit((alice, Changes({b"k": b"v"}, jobs={first: Job("run", 10), second: Job("run", 10)})))
    commit((alice, Changes({b"k": None}, jobs={first: None})))

    assert alice.exists
    commit((alice, Changes(jobs={second: replace(Job("run", 10), state="abandoned")})))
    assert alice.exists
    commit((alice, Changes(jobs={second: None})))
    assert not alice.exists
