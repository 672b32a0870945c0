"""Promise 5 of wit/world.wit: what an activation holds in its memory is never older than storage.

The SDK holds values because of it: what was read or written is not asked for again.
"""

from __future__ import annotations

from decimal import Decimal

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import HostDriver, Subject


def activation(probe: Subject) -> str:
    return str(probe.call("recall").typed[0])


def test_a_value_that_was_edited_from_outside_is_read_as_it_is_now(probe: Subject) -> None:
    probe.do(["put", "k", 1], ["put", "other", "kept"])
    assert probe.do(["get", "k"], ["get", "k"]) == [1, 1]
    before = activation(probe)

    probe.driver.edit(probe.type, probe.name, "k", Decimal("2.50"))

    assert probe.do(["get", "k"], ["get_many", ["k"]], ["list"]) == [
        Decimal("2.50"), [("k", Decimal("2.50"))], [("k", Decimal("2.50")), ("other", "kept")],
    ]  # fmt: skip
    assert activation(probe) != before


def test_a_value_that_was_held_as_absent_is_there_after_an_edit_from_outside(probe: Subject) -> None:
    assert probe.do(["get", "k"], ["get", "k"]) == [None, None]

    probe.driver.edit(probe.type, probe.name, "k", "now")

    assert probe.one("get", "k") == "now"


def test_a_value_that_was_deleted_from_outside_is_gone(probe: Subject) -> None:
    probe.do(["put", "k", 1], ["get", "k"])
    before = activation(probe)

    probe.driver.edit(probe.type, probe.name, "k", None)

    assert probe.one("get", "k") is None
    assert activation(probe) != before


def test_an_instance_that_was_deleted_from_outside_is_empty(probe: Subject) -> None:
    probe.do(["put", "a", 1], ["put", "b", 2], ["get", "a"])

    probe.driver.delete(probe.type, probe.name)

    assert probe.do(["get", "a"], ["get", "b"], ["list"]) == [None, None, []]


def test_what_follows_from_a_held_value_follows_from_the_edited_one(probe: Subject) -> None:
    """Read, edited from outside, read and written on: nothing is lost between them."""
    probe.do(["put", "total", 1])
    for total in range(2, 12):
        assert probe.one("get", "total") == total - 1
        probe.driver.edit(probe.type, probe.name, "total", total)

    assert probe.one("get", "total") == 11


def test_writes_that_were_lost_on_their_way_to_disk_are_not_held(host_driver: HostDriver, subject: NewSubject) -> None:
    """A turn returns, its memory holds what it wrote, and then that cannot be made durable."""
    probe = Subject(host_driver, "Probe", subject("Probe", "lost").name)
    probe.do(["put", "k", "durable"], ["get", "k"])
    before = activation(probe)

    with host_driver.losing(probe.name):
        assert probe.call("do", ["put", "k", "lost"], ["put", "new", "lost"]).refusal == (507, "StorageFullError")

    assert probe.do(["get", "k"], ["get", "new"], ["list"]) == ["durable", None, [("k", "durable")]]
    assert activation(probe) != before


def test_a_call_that_waits_behind_writes_that_are_lost_runs_on_what_is_durable(
    host_driver: HostDriver, subject: NewSubject
) -> None:
    probe = Subject(host_driver, "Probe", subject("Probe", "behind").name)
    probe.do(["put", "k", "durable"])
    with host_driver.losing(probe.name):
        for number in range(5):
            assert probe.call("do", ["get", "k"], ["put", "k", number]).status == 507
            assert probe.one("get", "k") == "durable"
