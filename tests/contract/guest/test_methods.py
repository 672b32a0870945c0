"""Which functions of a class are methods for callers, and how arguments reach them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver, Subject

NO_METHOD = "it is no method of an instance: a property, a static or class method, an attribute, or every actor's own"
WHY = {
    "alarm": "it is a handler, which the host runs",
    "fetch": "it is a handler, which the host runs: use stub.fetch(request)",
    **dict.fromkeys(("socket_message", "socket_close", "socket_error"), "it is a handler, which the host runs"),
}
PRIVATE = [
    "_private", "__init__", "__class__", "__dict__", "_nothing_of_that_name", "alarm", "fetch", "ctx", "env",
    "computed", "static", "of_class", "constant", "Inner", "socket_message", "socket_close", "socket_error",
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "body", "result"),
    [
        ("nothing", "", "null"),
        ("nothing", "[]", "null"),
        ("nothing", "{}", "null"),
        ("two", "[1]", '[1,"default"]'),
        ("two", "[1,2]", "[1,2]"),
        ("two", '{"b":2,"a":1}', "[1,2]"),
        ("two", ' {"a" : null} ', '[null,"default"]'),
        ("only_positions", "[1,2]", "[1,2]"),
        ("only_names", '{"a":1}', "[1,0]"),
        ("anything", "[1,2]", "[[1,2],{}]"),
        ("anything", '{"x":1,"y":{"z":2}}', '[[],{"x":1,"y":{"z":2}}]'),
        ("inherited", "", '"inherited"'),
        ("mixed_in", "", '"mixed in"'),
        ("overridden", "", '"shapes over base"'),
        ("awaited", "[1]", "2"),
    ],
)
def test_a_public_function_is_a_method_and_its_result_is_compact_json(
    shapes: Subject, method: str, body: str, result: str
) -> None:
    reply = shapes.plain(method, body)

    assert (reply.status, reply.text) == (200, result)


def test_arguments_are_bound_by_count_and_name_never_by_annotation(shapes: Subject) -> None:
    assert shapes.plain("annotated", '["many","now"]').value == ["many", "now"]
    assert shapes.plain("annotated", '{"amount":1.5,"when":null}').value == [1.5, None]


@pytest.mark.parametrize("method", PRIVATE)
def test_what_is_no_method_for_callers_is_private(shapes: Subject, method: str) -> None:
    reply = shapes.plain(method)

    assert reply.refusal == (403, "ActorPrivateMethodError")
    why = WHY.get(method, "its name begins with an underscore" if method.startswith("_") else NO_METHOD)
    assert reply.error["message"] == f"Shapes.{method} is not callable from outside: {why}"


@pytest.mark.parametrize("method", ["missing", "attribute", "callback", "nothing ", "Nothing", "名前", "x" * 256])
def test_what_the_class_does_not_have_is_unknown(shapes: Subject, method: str) -> None:
    reply = shapes.plain(method)

    assert reply.refusal == (404, "ActorUnknownMethodError")
    assert "annotated" in reply.error["message"]


def test_a_method_of_a_base_that_the_class_has_no_share_in_is_not_callable(subject: NewSubject) -> None:
    assert subject("Probe").plain("inherited").refusal == (404, "ActorUnknownMethodError")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("two", ""),
        ("two", "[]"),
        ("two", "{}"),
        ("two", "[1,2,3]"),
        ("two", '{"a":1,"c":2}'),
        ("two", '{"b":2}'),
        ("two", '{"self":1,"a":1}'),
        ("anything", '{"self":1}'),
        ("nothing", "[1]"),
        ("nothing", '{"x":1}'),
        ("only_positions", '{"a":1}'),
        ("only_names", "[1]"),
        ("only_names", "{}"),
    ],
)
def test_arguments_that_do_not_fit_the_signature_are_refused_before_the_method_runs(
    shapes: Subject, method: str, body: str
) -> None:
    reply = shapes.plain(method, body)

    assert reply.refusal == (400, "BadArgumentsError")
    assert f"Shapes.{method}" in reply.error["message"]
    assert reply.error["retryable"] is False


@pytest.mark.parametrize("body", ["1", '"text"', "null", "true", "{", "[1,]", "[NaN]", "{'a':1}", "[1] 2", "\x00"])
def test_a_body_that_is_no_json_object_or_array_is_refused(shapes: Subject, body: str) -> None:
    assert shapes.plain("anything", body).refusal == (400, "BadRequestError")


@pytest.mark.parametrize("number", ["1e400", "-1E+400", "1" + "0" * 309 + ".0", "1" + "0" * 300 + "e10"])
def test_a_number_that_no_float_can_hold_is_refused(shapes: Subject, number: str) -> None:
    assert shapes.plain("anything", f'{{"amount":{number}}}').refusal == (400, "BadRequestError")
    assert shapes.plain("anything", f"[{number}]").refusal == (400, "BadRequestError")


def test_typed_arguments_that_do_not_fit_the_signature_are_refused_too(shapes: Subject) -> None:
    for method, body in (("two", "{}"), ("anything", '{"self":1}'), ("nothing", "[1]")):
        reply = shapes.driver.post(shapes.type, shapes.name, method, body, typed_arguments=True)

        assert reply.refusal == (400, "BadArgumentsError")


@pytest.mark.parametrize(("typed", "name"), [(False, "BadArgumentsError"), (True, "CodecError")])
def test_an_integer_that_only_passes_typed_is_refused_with_the_way_to_write_it(
    shapes: Subject, typed: bool, name: str
) -> None:
    body = f"[{'9' * 4301}]"

    reply = shapes.driver.post(shapes.type, shapes.name, "anything", body, typed_arguments=typed)

    assert reply.refusal == (400, name)
    assert '4,300 digits, which only passes typed: {"$hf":"int"' in reply.error["message"]


def test_a_type_error_inside_the_method_is_the_methods_own(shapes: Subject) -> None:
    for method, body in (("type_error_inside", "[1]"), ("wrong_call_inside", "")):
        reply = shapes.plain(method, body)

        assert reply.refusal == (500, "ActorMethodError")
        assert reply.error["message"].startswith("TypeError: ")


def test_a_coroutine_that_waits_for_an_event_loop_fails(shapes: Subject) -> None:
    reply = shapes.plain("waits")

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith("RuntimeError: ")


def test_an_async_method_that_raises_fails_as_any_other(shapes: Subject) -> None:
    assert shapes.plain("fails_later").error["message"] == "ValueError: later"


def test_typed_arguments_may_come_by_position_and_by_name_at_once(shapes: Subject) -> None:
    when = datetime(2026, 11, 1, tzinfo=UTC)
    body = '{"$hf":"arguments","v":[[1],{"when":{"$hf":"datetime","v":"2026-11-01T00:00:00+00:00"}}]}'

    reply = shapes.driver.post(shapes.type, shapes.name, "annotated", body, typed_arguments=True, typed_result=True)

    assert reply.typed == [1, when]


@pytest.mark.parametrize(
    "body",
    [
        '[{"$hf":"never","v":1}]',
        '[{"$hf":"date"}]',
        '[{"$hf":"date","v":"2026-13-01"}]',
        '[{"$hf":"set","v":[],"x":1}]',
        '[{"$hf":"timedelta","v":[1.5,0,0]}]',
        '[{"$hf":"timedelta","v":[0,-1,0]}]',
        '[{"$hf":"timedelta","v":[0,0,1000000]}]',
        '[{"$hf":"int","v":"0x1F"}]',
        '[{"$hf":"decimal","v":"1_000"}]',
    ],
)
def test_typed_arguments_that_cannot_be_read_are_refused(shapes: Subject, body: str) -> None:
    reply = shapes.driver.post(shapes.type, shapes.name, "anything", body, typed_arguments=True)

    assert reply.refusal == (400, "CodecError")


def test_in_plain_arguments_a_tag_means_nothing(shapes: Subject) -> None:
    assert shapes.plain("anything", '[{"$hf":"never","v":1}]').value == [[{"$hf": "never", "v": 1}], {}]


@pytest.mark.parametrize("name", ["a", "a/b", "..", ".", "+15551234567", "tenant:room", "名前", " ", "%2F", "x" * 256])
def test_an_instance_may_have_any_name_and_is_told_it(driver: Driver, name: str) -> None:
    about = Subject(driver, "Probe", name).plain("about").value

    assert about == {"name": name, "id": name, "type": "Probe"}


@pytest.mark.parametrize("name", ["x" * 257, "a\x00b", "é" * 129])
def test_a_name_that_breaks_its_rule_is_refused(driver: Driver, name: str) -> None:
    assert Subject(driver, "Probe", name).plain("about").refusal == (400, "InvalidNameError")


def test_a_type_that_nobody_ships_is_unknown(driver: Driver) -> None:
    assert Subject(driver, "Nobody", "x").plain("about").refusal == (404, "UnknownActorTypeError")


def test_a_slip_in_a_type_is_told_what_was_meant(driver: Driver) -> None:
    slip, other = (Subject(driver, each, "x").plain("about").error["message"] for each in ("Prob", "Nobody"))

    assert slip == "no deployed function owns the actor type 'Prob': did you mean 'Probe'?"
    assert other == "no deployed function owns the actor type 'Nobody'"
