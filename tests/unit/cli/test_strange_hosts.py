"""A server that is no Holdfast host, or a proxy before one: one sentence that names it, for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.unit.cli.every_command import WALK, body_of
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import run

SPEAKING = [(command, *cases[0]) for command, cases in WALK.items() if cases[0][1] is not None]
JSON = [b"[]", b"{}", b'"x"', b"null", b"5", b'[["a", 1]]']
STRANGE = [*JSON, b"<html>a proxy</html>", b"", b"\xff\xfe", b"[" * 100_000]
VALUES = {"call", "storage get"}  # they take any JSON: it is what a method returned, or what is stored
LINES = {"logs", "audit", "changes"}  # there may be none
USUAL = [(200, body) for body in JSON]
ANSWERS = [*((200, body) for body in STRANGE), *((500, body) for body in STRANGE), (302, b"{}"), (404, b"<html>")]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "words"), [each[:2] for each in SPEAKING])
def test_an_answer_that_no_host_gives_ends_every_command_in_one_sentence(
    put_in: Callable[[list[str]], list[str]], command: str, words: list[str]
) -> None:
    with scripted_host() as host:
        for host.status, host.body in ANSWERS:
            if host.status == 200 and (
                (command in VALUES and host.body in JSON) or (command in LINES and not host.body)
            ):
                continue  # a host may answer this
            result = run(*command.split(), *put_in(words), stdin="secret", HOLDFAST_HOST=host.url)

            assert result.exit_code == 1, (host.status, host.body, result.output)
            assert isinstance(result.exception, SystemExit), (host.status, host.body, result.exception)
            said = result.stderr.splitlines()[-1]
            assert host.url in said
            assert "is --host the right one?" in said or "without a result" in said
            assert host.status == 200 or str(host.status) in said


@pytest.mark.parametrize(
    ("words", "body", "says"),
    [
        (["list"], b"[]", "GET /v1/functions as a Holdfast host does (expected `object`, got `array`)"),
        (["list"], b"{}", "(object missing required field `functions`)"),
        (["list"], b'{"functions":[{}]}', "(object missing required field `name` - at `$.functions[0]`)"),
        (
            ["call", "A", "b", "c"],
            b"<html>a proxy",
            "POST /v1/call as a Holdfast host does (expected JSON, got '<html>a",
        ),
        (
            ["erase", "--yes", "A", "b"],
            b"",
            "DELETE /v1/instances/A/b as a Holdfast host does (expected JSON, got nothing)",
        ),
        (["logs"], b'{"time":1e300}', "(expected `float` <= "),
    ],
)
def test_the_sentence_says_what_was_expected(words: list[str], body: bytes, says: str) -> None:
    with scripted_host(body=body) as host:
        result = run(*words, HOLDFAST_HOST=host.url)

    assert says in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [each[0] for each in SPEAKING])
def test_no_command_needs_more_of_an_answer_than_it_says(
    put_in: Callable[[list[str]], list[str]], command: str
) -> None:
    """Each field of a usual answer is taken away, or made something else, once: the sentence, or it is not needed."""
    words, answer = WALK[command][0]
    with scripted_host() as host:
        for strange in _changed(answer[-1] if isinstance(answer, tuple) else answer):
            host.body = body_of(strange)
            result = run(*command.split(), *put_in(words), stdin="secret", HOLDFAST_HOST=host.url)

            assert result.exception is None or isinstance(result.exception, SystemExit), (strange, result.exception)
            assert result.exit_code == 0 or host.url in result.stderr.splitlines()[-1]


def test_an_integer_of_any_length_is_shown_as_it_is() -> None:
    digits = "9" * 5000
    with scripted_host(body=digits.encode()) as host:
        shown = run("call", "A", "b", "c", HOLDFAST_HOST=host.url)
        compact = run("call", "--json", "A", "b", "c", HOLDFAST_HOST=host.url)

    assert shown.stdout == compact.stdout == f"{digits}\n"
    assert sys.get_int_max_str_digits() == sys.int_info.default_max_str_digits, "the process is left as it was"


def test_a_count_of_thousands_of_digits_is_none_of_a_holdfast_host() -> None:
    with scripted_host(body=b'{"active": false, "queued": 0, "version": ' + b"9" * 5000 + b"}") as host:
        result = run("inspect", "A", "b", HOLDFAST_HOST=host.url)

    assert result.exit_code == 1
    assert "`int` <= 9223372036854775807" in result.stderr


def _changed(value: object) -> list[object]:
    """The value, with one part of it missing or of another type."""
    found: list[object] = [{} if isinstance(value, list) else []]
    if isinstance(value, dict):
        for key, part in value.items():
            found.append({name: each for name, each in value.items() if name != key})
            found += [{**value, key: each} for each in _changed(part)]
    elif isinstance(value, list) and value:
        found += [[each, *value[1:]] for each in _changed(value[0])]
    return found
