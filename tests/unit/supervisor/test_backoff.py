"""How long a dead child's successor waits."""

from holdfast_host.supervisor.processes.backoff import BackOff


def test_one_that_never_becomes_ready_is_tried_less_and_less_often_and_for_ever() -> None:
    backoff = BackOff()

    assert [round(backoff.delay_after(0.2, was_ready=False), 1) for _ in range(10)] == [
        0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0,
    ]  # fmt: skip


def test_one_that_was_ready_is_back_within_half_a_second_however_often_it_dies() -> None:
    backoff = BackOff()

    delays = [backoff.delay_after(0.5, was_ready=True) for _ in range(30)]

    assert delays[:3] == [0.0, 0.0, 0.0]
    assert max(delays) == 0.4


def test_a_start_that_fails_once_between_good_ones_is_repeated_at_once() -> None:
    backoff = BackOff()
    for _ in range(20):
        backoff.delay_after(0.5, was_ready=True)

    assert backoff.delay_after(0.1, was_ready=False) == 0.0


def test_a_healthy_minute_forgets_what_was() -> None:
    backoff = BackOff()
    for _ in range(20):
        backoff.delay_after(0.5, was_ready=True)

    assert backoff.delay_after(61, was_ready=True) == 0.0
    assert backoff.deaths == 1
