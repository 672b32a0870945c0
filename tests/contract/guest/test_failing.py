"""What callers are told of a method that refuses or raises."""

from __future__ import annotations

import pytest

from tests.contract.guest.drivers import Subject


def test_a_refusal_reaches_the_caller_in_its_own_words(shapes: Subject) -> None:
    reply = shapes.plain("refuses")

    assert reply.status == 409
    assert reply.text == (
        '{"error":{"name":"ActorError","message":"insufficient funds","retryable":false,"code":"insufficient_funds"}}'
    )


def test_a_refusal_without_a_status_is_400_and_has_no_code(shapes: Subject) -> None:
    reply = shapes.plain("refuses_plainly")

    assert reply.status == 400
    assert reply.error == {"name": "ActorError", "message": "no", "retryable": False}


@pytest.mark.parametrize("status", [400, 404, 418, 429, 499])
def test_a_refusal_may_have_any_status_of_a_client_error(shapes: Subject, status: int) -> None:
    assert shapes.plain("refuses_with", f"[{status}]").refusal == (status, "ActorError")


@pytest.mark.parametrize("status", [399, 500, 200, '"409"', "409.0", "true", "null"])
def test_any_other_status_is_the_methods_own_mistake(shapes: Subject, status: object) -> None:
    reply = shapes.plain("refuses_with", f"[{status}]")

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith("ValueError: ")
    assert "400 to 499" in reply.error["message"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("value", "ValueError: no such cart"),
        ("empty", "ValueError"),
        ("key", "KeyError: 'k'"),
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
        ("base", "BaseException: base"),
        ("group", "ExceptionGroup: several (2 sub-exceptions)"),
        ("codec", "CodecError: own words"),
        ("limit", "LimitError: own words"),
        ("stop", "StopIteration: 3"),
        ("unicode", "ValueError: 名前 \ud800"),
    ],
)
def test_an_exception_reaches_the_caller_as_its_kind_and_text(shapes: Subject, kind: str, message: str) -> None:
    reply = shapes.plain("raises", f'["{kind}"]')

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"] == message
    assert reply.error["retryable"] is False
    assert "Traceback" not in reply.text


def test_an_exception_without_a_text_that_can_be_made_is_told_by_its_kind(shapes: Subject) -> None:
    assert shapes.plain("raises", '["own"]').error["message"].startswith("UnprintableError")


def test_a_very_long_message_is_cut(shapes: Subject) -> None:
    message = shapes.plain("raises", '["long"]').error["message"]

    assert message.startswith("ValueError: xxx")
    assert len(message) == 4_000


def test_endless_recursion_is_an_exception(shapes: Subject) -> None:
    reply = shapes.plain("recurses")

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith("RecursionError")
    assert shapes.plain("nothing").status == 200


def test_the_traceback_goes_to_the_log_with_the_authors_file_and_line(shapes: Subject) -> None:
    shapes.plain("raises", '["value"]')

    [trace] = [text for level, text in shapes.log if level == "error" and "no such cart" in text]

    assert trace.startswith("Traceback (most recent call last):")
    assert "src/app.py" in trace
    assert "raise failures[kind]" in trace
    assert "_exports.py" not in trace


def test_a_refusal_leaves_no_traceback(shapes: Subject) -> None:
    shapes.plain("refuses")
    shapes.plain("missing")
    shapes.plain("two", "[1,2,3]")

    assert shapes.log == []
