"""The commands that speak to a host: what they send, what they print, and how they fail."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import pytest
from click.testing import CliRunner, Result

from holdfast_host.cli.main import group
from holdfast_host.core.durable_files import written_alone
from holdfast_host.front.calls.idempotency_keys import read_key
from tests.unit.cli.scripted_host import scripted_host

GROUPS = {
    "secret": "set list delete",
    "store": "init check upgrade copy",
    "token": "create list rotate revoke",
    "auth": "set status forget",
    "storage": "get put delete",
    "alarm": "list set clear",
    "job": "list show retry cancel",
    "tenant": "create limit list delete",
}
COMMANDS = [
    *group.list_commands(click.Context(group)),
    *(f"{name} {each}" for name, its in GROUPS.items() for each in its.split()),
]
ALARM = {"state": "armed", "due": "2026-12-24T18:00:00Z", "retry_count": 0, "last_error": None}
DEPLOYED = {"name": "counter", "func_id": "fn_1", "version": 1, "url": "http://counter.localhost:1", "actors": []}


def run(*arguments: str, stdin: str | None = None, **environment: str) -> Result:
    """Run `holdfast` in this process, with nothing of the outer environment's."""
    nothing: dict[str, str | None] = {"HOLDFAST_HOST": None, "HOLDFAST_TOKEN": None, "HOLDFAST_TOKEN_FILE": None}
    nothing["XDG_CONFIG_HOME"] = "/dev/null"  # whatever the user keeps
    given = {**nothing, **environment}
    return CliRunner().invoke(group, list(arguments), input=stdin, env=given, prog_name="holdfast")


def fails_in_one_sentence(result: Result) -> str:
    """The sentence on stderr of a command that failed as it should."""
    assert result.exit_code != 0
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(*command.split(), "--help")

    assert result.exit_code == 0
    assert f"holdfast {command}" in result.output.partition("Example")[2]


def test_help_shows_how_text_that_reads_as_a_number_is_given() -> None:
    assert """add price='"9.90"'""" in run("call", "--help").output


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ((), {}),
        (("amount=5",), {"amount": 5}),
        (("to=alice", "note=five pounds", "on=true"), {"to": "alice", "note": "five pounds", "on": True}),
        (("tags=[1,2]", 'quoted="5"'), {"tags": [1, 2], "quoted": "5"}),
        (("text=a=b", "empty="), {"text": "a=b", "empty": ""}),
        (("odd=NaN",), {"odd": "NaN"}),
        (("amount=-5",), {"amount": -5}),
        (('text="{"', 'open="half'), {"text": "{", "open": '"half'}),
        (('{"amount": 5}',), {"amount": 5}),
        ((" [30]",), [30]),
    ],
)
def test_arguments_are_pairs_or_one_json_document(arguments: tuple[str, ...], sent: object) -> None:
    with scripted_host(body=b'{"balance":5}') as host:
        result = run("call", "--host", host.url, "Account", "a/../b", "deposit", *arguments)

    assert result.exit_code == 0, result.output
    assert result.stdout == '{"balance": 5}\n'
    [asked] = host.asked
    assert (asked.method, asked.path) == ("POST", "/v1/call")
    assert json.loads(asked.body) == {"type": "Account", "name": "a/../b", "method": "deposit", "args": sent}


@pytest.mark.parametrize(
    ("key", "header"), [("order-17", '"order-17"'), ('a "b" \\', r'"a \"b\" \\"'), ("x" * 255, f'"{"x" * 255}"')]
)
def test_a_key_goes_along_as_the_host_reads_it(key: str, header: str) -> None:
    with scripted_host(body=b"5") as host:
        result = run("call", "--host", host.url, "Account", "alice", "deposit", "amount=5", "--key", key)

    assert result.exit_code == 0, result.output
    assert host.asked[0].headers["idempotency-key"] == header
    assert read_key(header.encode()) == b"c" + key.encode()


def test_numbers_are_sent_with_the_digits_they_were_typed_with() -> None:
    with scripted_host(body=b"null") as host:
        run(
            "call",
            "--host",
            host.url,
            "Account",
            "alice",
            "deposit",
            "amount=1.10",
            "big=123456789012345678901234567890",
        )

    assert b"1.10" in host.asked[0].body
    assert b"123456789012345678901234567890" in host.asked[0].body


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("five",), "neither KEY=VALUE"),
        (("amount=1", "amount=2"), "given twice"),
        (('{"amount": }',), "no JSON object or array"),
        (("--key", ""), "--key has 1 to 255 printable ASCII characters, '' has not"),
        (("--key", "名"), "--key has 1 to 255 printable ASCII characters, '名' has not"),
        (("--key", "x" * 256), "--key has 1 to 255 printable ASCII characters"),
        (("[1]", "[2]"), "neither KEY=VALUE"),
        (('owner={"a"',), "The value of 'owner' begins as JSON and is none (Expecting ':' delimiter"),
        (("tags= [1,2",), "The value of 'tags' begins as JSON and is none"),
        (("by=1e400",), "The value of 'by' is a number that no float can hold: 1e400; see"),
        (("by=[1, -1e400]",), "The value of 'by' has a number that no float can hold: -1e400; see"),
        (('{"by": 1e400}',), "The arguments have a number that no float can hold: 1e400; see"),
        (("tags=[NaN]",), "(NaN is not JSON): mend it, or give a text as '\"...\"'"),
        (("tags=" + "[" * 100_000,), "nested too deep"),
        (("[" * 100_000,), "nested too deep"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_before_anything_is_sent(
    arguments: tuple[str, ...], says: str
) -> None:
    with scripted_host() as host:
        result = run("call", "--host", host.url, "Account", "alice", "deposit", *arguments)

    assert result.exit_code == 2
    assert says in fails_in_one_sentence(result)
    assert host.asked == []


@pytest.mark.parametrize("value", ['{"a"', "[1, 2", ' {"a": nan}', "{'a': 1}", "[" * 100_000])
def test_a_value_that_begins_as_json_and_is_none_is_not_stored_as_a_text(value: str) -> None:
    with scripted_host() as host:
        result = run("storage", "put", "--host", host.url, "Account", "alice", "owner", value)

    assert result.exit_code == 2
    assert fails_in_one_sentence(result).startswith("VALUE begins as JSON and is none (")
    assert host.asked == []


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ('{"a": 1.10}', b'{"a": 1.10}'),
        ("[]", b"[]"),
        ("12", b"12"),
        ("1" * 5000, b"1" * 5000),
        ("plain", b'"plain"'),
        ("NaN", b'"NaN"'),
        ('"{"', b'"{"'),
        ('"half', rb'"\"half"'),
        ("a {", b'"a {"'),
    ],
)
def test_a_value_is_stored_as_json_where_it_is_json_and_as_a_text_otherwise(value: str, sent: bytes) -> None:
    with scripted_host() as host:
        run("storage", "put", "--host", host.url, "Account", "alice", "owner", value)

    assert host.asked[0].body == sent


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("never",), "No such command 'never'; see 'holdfast --help'."),
        (("--never",), "No such option '--never'. Did you mean '--version'? See 'holdfast --help'."),
        (("call", "Account"), "Missing argument 'NAME'; see 'holdfast call --help'."),
        (("delete",), "Missing argument 'FUNCTION'; see 'holdfast delete --help'."),
        (("deploy", "a", "b"), "Got unexpected extra argument (b); see 'holdfast deploy --help'."),
        (("secret", "set"), "Missing argument 'NAME'; see 'holdfast secret set --help'."),
        (
            ("serve", "--workers", "x"),
            "Invalid value for '--workers' (env var: 'HOLDFAST_WORKERS'): 'x' is",
        ),
        (("inspect", "A", "b", "--limit", "0"), "Invalid value for '--limit': 0 is not in the range 1<=x<=1000; see"),
    ],
)
def test_words_that_do_not_fit_a_command_are_refused_in_one_sentence(words: tuple[str, ...], says: str) -> None:
    result = run(*words)

    assert result.exit_code == 2
    assert fails_in_one_sentence(result).startswith(says)


def test_json_output_is_one_compact_document() -> None:
    with scripted_host(body='{"name":"名前"}'.encode()) as host:
        result = run("call", "--json", "--host", host.url, "Account", "alice", "who")

    assert result.stdout == '{"name":"\\u540d\\u524d"}\n'
    assert result.stderr == ""


def test_the_hosts_refusal_is_one_sentence() -> None:
    error = {"error": {"name": "ActorError", "message": "insufficient funds", "code": "poor", "retryable": False}}
    with scripted_host(409, json.dumps(error).encode()) as host:
        said = fails_in_one_sentence(run("call", "--host", host.url, "Account", "alice", "debit", "amount=5"))

    assert said == "ActorError [poor]: insufficient funds"


def test_a_host_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = fails_in_one_sentence(run("list", "--host", url))

    assert url in said
    assert "holdfast serve" in said


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://[::1", "http://h:x", "http://a..b", "x" * 64])
def test_a_host_that_is_no_url_is_refused(url: str) -> None:
    assert "is no host" in fails_in_one_sentence(run("list", "--host", url))


def test_the_token_comes_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    with scripted_host(body=b'{"functions":[]}') as host:
        run("list", HOLDFAST_HOST=host.url)
        run("list", HOLDFAST_HOST=host.url, HOLDFAST_TOKEN="from-environment")
        run("list", "--token-file", str(file), HOLDFAST_HOST=host.url, HOLDFAST_TOKEN="from-environment")
        run("list", HOLDFAST_HOST=host.url, HOLDFAST_TOKEN_FILE=str(file))

    tokens = [asked.headers.get("authorization") for asked in host.asked]
    assert tokens == [None, "Bearer from-environment", "Bearer from-file", "Bearer from-file"]


def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()

    assert "is empty" in fails_in_one_sentence(run("list", "--token-file", str(empty)))
    assert "cannot be read" in fails_in_one_sentence(run("list", "--token-file", str(tmp_path / "none")))


@pytest.mark.parametrize("token", ["two words", "two\nlines", "é", "\x7f"])
def test_a_token_that_no_host_can_have_is_named_and_never_sent(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token)

    with scripted_host(body=b'{"functions":[]}') as host:
        by_variable = fails_in_one_sentence(run("list", HOLDFAST_HOST=host.url, HOLDFAST_TOKEN=token))
        by_file = fails_in_one_sentence(run("list", "--token-file", str(file), HOLDFAST_HOST=host.url))

    assert by_variable == "HOLDFAST_TOKEN must hold one token of visible ASCII characters, without spaces."
    assert by_file == f"The token file {file} must hold one token of visible ASCII characters, without spaces."
    assert host.asked == []


@pytest.mark.parametrize(
    ("keys", "alarm", "shown"),
    [
        (1, None, ["1 turn waits", "alarm    none", "storage  1 key, 1 byte\n"]),
        (2, ALARM, ["2 turns wait", "alarm    armed, due 2026-12-24T18:00:00Z\n", "storage  2 keys, 2 bytes"]),
        (0, {**ALARM, "retry_count": 1, "last_error": "ValueError: no"}, ["Z, 1 retry, last error: ValueError: no\n"]),
        (1000, {**ALARM, "retry_count": 2}, ["1,000 turns wait", "Z, 2 retries\n", "1,000 keys, 1,000 bytes"]),
    ],
)
def test_inspect_speaks_in_words(keys: int, alarm: object, shown: list[str]) -> None:
    facts = {"active": False, "queued": keys, "quarantined": False, "version": 1, "keys": keys, "bytes": keys}
    with scripted_host(body=json.dumps({**facts, "alarm": alarm, "entries": [], "next": None}).encode()) as host:
        said = run("inspect", "--host", host.url, "A", "b").stdout

    assert [each for each in shown if each not in said] == [], said


@pytest.mark.parametrize(
    ("following", "shown", "words"),
    [
        ("b", "--start b", ["--start", "b"]),
        ("a b", "--start 'a b'", ["--start", "a b"]),
        ("a's\0", """--after 'a'"'"'s'""", ["--after", "a's"]),
    ],
)
def test_the_next_page_is_asked_for_with_words_that_a_shell_takes(following: str, shown: str, words: list[str]) -> None:
    facts = {"active": False, "queued": 0, "quarantined": False, "version": 1, "alarm": None, "keys": 2, "bytes": 5000}
    with scripted_host(body=json.dumps({**facts, "entries": [], "next": following}).encode()) as host:
        said = run("inspect", "--host", host.url, "A", "b").stdout
        run("inspect", "--host", host.url, "A", "b", *words)

    assert said.endswith(f"  more: {shown}\n")
    assert parse_qs(urlsplit(host.asked[-1].path).query)["start"] == [following]


def test_a_page_begins_at_one_place() -> None:
    assert "are both given" in fails_in_one_sentence(run("inspect", "A", "b", "--start", "a", "--after", "b"))


def test_inspect_cuts_long_values_and_says_how_to_see_them_whole() -> None:
    facts = {"active": False, "queued": 0, "quarantined": False, "version": 1, "alarm": None, "keys": 2, "bytes": 5000}
    entries = [{"key": "long", "value": "x" * 5000}, {"key": "short", "value": 1}]
    with scripted_host(body=json.dumps({**facts, "entries": entries, "next": None}).encode()) as host:
        cut, full = (run("inspect", "--host", host.url, "A", "b", *more) for more in ((), ("--full",)))
        short = run("inspect", "--host", host.url, "A", "b", "--json")
    lines = cut.stdout.splitlines()

    assert lines[-3] == '    long = "' + "x" * 199 + " ... (5,002 characters)"
    assert lines[-2] == "    short = 1"
    assert lines[-1] == "  long values are cut: --full shows them whole, 'holdfast storage get' shows one"
    assert '    long = "' + "x" * 5000 + '"\n    short = 1\n' in full.stdout
    assert "are cut" not in full.stdout
    assert json.loads(short.stdout)["entries"] == entries


def test_delete_says_what_is_kept() -> None:
    with scripted_host(body=json.dumps(DEPLOYED).encode()) as host:
        result = run("delete", "--host", host.url, "counter")

    assert (host.asked[0].method, host.asked[0].path) == ("DELETE", "/v1/functions/counter")
    assert "storage" in result.stdout


def test_a_sealed_secret_is_set_with_its_origin_and_needs_one() -> None:
    shown = {"name": "KEY", "updated_at": "2026-11-01T00:00:00Z", "functions": [], "sealed_for": "https://a.example"}
    with scripted_host(body=json.dumps(shown).encode()) as host:
        sealed = run("secret", "set", "KEY", "--sealed", "--for", "https://a.example", "--host", host.url, stdin="v")
        half = [run("secret", "set", "KEY", each, "--host", host.url, stdin="v") for each in ("--sealed", "--for=x")]

    assert (sealed.exit_code, sealed.stderr) == (0, "")
    assert [json.loads(each.body) for each in host.asked] == [{"value": "v", "sealed_for": "https://a.example"}]
    assert all(each.exit_code == 1 and "--sealed --for" in each.stderr for each in half)


def test_two_backups_into_one_file_do_not_write_over_each_other(tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    with written_alone(tmp_path / "b.tar.part") as first:
        first.write(b"of the first")
        first.flush()
        done = CliRunner().invoke(group, ["backup", str(file), "--host", "http://127.0.0.1:1"])
        assert (done.exit_code, done.stderr) == (
            1,
            f"Another backup into {file} is under way: wait until it has ended.\n",
        )
        assert (tmp_path / "b.tar.part").read_bytes() == b"of the first"
