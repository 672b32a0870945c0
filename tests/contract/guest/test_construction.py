"""Constructors, contexts, environments, and what survives in memory."""

from __future__ import annotations

import tomllib

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import SUITE, Subject


def test_a_constructor_runs_once_before_the_first_turn_of_an_activation(subject: NewSubject) -> None:
    made = subject("Made", "good")

    assert [made.call("constructed").typed for _ in range(3)] == [[1, 1]] * 3


def test_what_a_constructor_wrote_commits_with_the_first_turn_or_not_at_all(subject: NewSubject) -> None:
    made = subject("Made", "good")

    assert made.call("raise_plainly").refusal == (500, "ActorMethodError")
    assert made.call("constructed").typed == [1, 1]


def test_a_constructor_that_raises_fails_the_call_and_commits_nothing(subject: NewSubject) -> None:
    bad = subject("Made", "bad")

    replies = [bad.call("constructed") for _ in range(2)]

    assert [reply.refusal for reply in replies] == [(500, "ActorInitError")] * 2
    assert replies[0].error["message"] == "ValueError: cannot be made"
    assert replies[0].error["retryable"] is False


def test_the_activation_of_a_failed_constructor_is_dropped(subject: NewSubject) -> None:
    """What it synced is there, and the next call constructs again."""
    once = subject("Made", "once")

    assert once.call("constructed").refusal == (500, "ActorInitError")
    assert once.call("constructed").typed == [2, 2]


def test_a_constructor_cannot_refuse_in_its_own_words(subject: NewSubject) -> None:
    reply = subject("Made", "refuses").call("constructed")

    assert reply.refusal == (500, "ActorInitError")
    assert reply.error["message"] == "ActorError: not today"


def test_a_constructor_must_call_its_base(subject: NewSubject) -> None:
    reply = subject("Made", "nosuper").call("constructed")

    assert reply.refusal == (500, "ActorInitError")
    assert "super().__init__" in reply.error["message"]


def test_a_constructor_may_set_the_alarm(subject: NewSubject) -> None:
    assert subject("Made", "alarm").call("alarm_set").typed is True


def test_a_constructor_may_call_another_actor(subject: NewSubject) -> None:
    assert subject("Made", "calls").call("called_by_constructor").typed == [1, 1]


def test_an_unknown_method_does_not_construct(subject: NewSubject) -> None:
    bad = subject("Made", "bad")

    assert bad.call("missing").refusal == (404, "ActorUnknownMethodError")
    assert bad.call("_private").refusal == (403, "ActorPrivateMethodError")


def test_arguments_that_do_not_fit_are_told_after_the_constructor(subject: NewSubject) -> None:
    assert subject("Made", "bad").call("constructed", 1, 2).refusal == (500, "ActorInitError")


def test_the_environment_has_the_manifests_bindings_and_variables(probe: Subject) -> None:
    manifest = tomllib.loads((SUITE / "holdfast.toml").read_text())
    names = sorted([*(each["binding"] for each in manifest["actors"]), *manifest["vars"]])

    assert probe.call("variables").typed == ["hello", "", names, False]


def test_a_name_that_the_environment_lacks_is_an_attribute_error_that_lists_what_it_has(probe: Subject) -> None:
    message = probe.call("missing_variable").error["message"]

    assert message.startswith("AttributeError: ")
    assert "GREETING" in message


def test_the_environment_cannot_be_changed(probe: Subject) -> None:
    assert probe.call("change_env").error["message"].startswith("AttributeError: ")
    assert probe.call("variables").typed[0] == "hello"


def test_block_concurrency_while_runs_its_function_at_once(probe: Subject) -> None:
    assert probe.call("block").typed == [1, 2, 1]
    assert probe.call("block_and_raise").error["message"] == "ValueError: inside the block"


def test_memory_is_kept_from_turn_to_turn(probe: Subject) -> None:
    probe.call("remember", {"a": 1})

    first, second = probe.call("recall").typed, probe.call("recall").typed

    assert first == second
    assert first[1] == {"a": 1}


def test_an_eviction_takes_memory_and_leaves_storage(probe: Subject) -> None:
    probe.do(["put", "k", 1])
    probe.call("remember", 1)
    before = probe.call("recall").typed[0]

    probe.driver.evict(probe.type, probe.name)

    activation, remembered = probe.call("recall").typed
    assert activation != before
    assert remembered is None
    assert probe.one("get", "k") == 1


def test_a_turn_that_failed_without_having_written_keeps_the_activation(probe: Subject) -> None:
    before = probe.call("recall").typed

    assert probe.call("do_then_raise", ["get", "k"]).refusal == (500, "ActorMethodError")
    assert probe.call("do_then_refuse").refusal == (418, "ActorError")
    assert probe.call("length", 5).refusal == (500, "ActorMethodError")

    assert probe.call("recall").typed == before


def test_a_turn_that_failed_after_it_had_written_drops_the_activation(probe: Subject) -> None:
    for method in ("do_then_raise", "do_then_refuse"):
        before = probe.call("recall").typed[0]
        probe.call(method, ["put", "k", 1])

        assert probe.call("recall").typed[0] != before


def test_so_does_one_that_had_undone_or_synced_its_writes(probe: Subject) -> None:
    for method, steps in (("sync_then_raise", []), ("do_then_raise", [["put", "k", 1], ["delete", "k"]])):
        before = probe.call("recall").typed[0]
        probe.call(method, *steps)

        assert probe.call("recall").typed[0] != before


def test_a_delete_that_found_nothing_is_no_write(probe: Subject) -> None:
    before = probe.call("recall").typed[0]

    probe.call("do_then_raise", ["delete", "absent"], ["delete_alarm"])

    assert probe.call("recall").typed[0] == before


def test_instances_of_one_type_share_nothing(subject: NewSubject) -> None:
    one, other = subject("Probe", "one"), subject("Probe", "other")
    one.do(["put", "k", 1])
    one.call("remember", 1)

    assert other.one("get", "k") is None
    assert other.call("recall").typed[1] is None
