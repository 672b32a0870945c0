"""Tokens on the command line: what is kept, for whom, and which one a command shows."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from holdfast_host.cli import tokens
from holdfast_host.cli.addresses import checked_url
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import fails_in_one_sentence, run

OWN: dict[str, Any] = {"id": "k3fq7wz2ab", "name": "ci", "scope": "deploy", "types": [], "expires_at": None}
ANSWER = json.dumps(OWN).encode()


class Desk:
    """One user's commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "holdfast" / "tokens.json"

    def run(self, *words: str, stdin: str | None = None, **environment: str) -> Result:
        return run(*words, stdin=stdin, XDG_CONFIG_HOME=str(self.folder), **environment)

    @property
    def kept(self) -> Any:
        return json.loads(self.file.read_text())["tokens"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "config")


def test_a_kept_token_is_used_by_every_command_for_its_host_alone(desk: Desk) -> None:
    with scripted_host(body=ANSWER) as host, scripted_host(body=b'{"functions":[]}') as other:
        done = desk.run("auth", "set", "--host", host.url + "/", stdin="first\n")
        host.body = b'{"functions":[]}'
        desk.run("list", "--host", host.url)
        desk.run("list", "--host", other.url)

        assert done.output == f"Kept for {host.url}: the token k3fq7wz2ab 'ci', scope deploy.\n"
        assert [each.headers.get("authorization") for each in host.asked] == ["Bearer first", "Bearer first"]
        assert [each.headers.get("authorization") for each in other.asked] == [None]
        assert desk.kept == {host.url: "first"}
        assert stat.S_IMODE(desk.file.stat().st_mode) == 0o600
        assert stat.S_IMODE(desk.file.parent.stat().st_mode) == 0o700


def test_what_a_command_is_given_goes_before_what_is_kept(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-a-file\n")
    with scripted_host(body=ANSWER) as host:
        desk.run("auth", "set", "--host", host.url, stdin="kept")
        shown = [
            desk.run("auth", "status", "--host", host.url).output,
            desk.run("auth", "status", "--host", host.url, HOLDFAST_TOKEN="of-the-environment").output,
            desk.run(
                "auth", "status", "--host", host.url, "--token-file", str(tmp_path / "token"), HOLDFAST_TOKEN="x"
            ).output,
        ]

        assert [each.headers["authorization"][7:] for each in host.asked[1:]] == [
            "kept",
            "of-the-environment",
            "of-a-file",
        ]
        told = f"{host.url}: the token k3fq7wz2ab 'ci', scope deploy, from "
        assert shown[0] == f"{told}{desk.file}.\nA token is kept for {host.url}.\n"
        assert shown[1].startswith(f"{told}HOLDFAST_TOKEN.\n")
        assert shown[2].startswith(f"{told}the file {tmp_path / 'token'}.\n")


def test_a_token_that_the_host_does_not_take_is_not_kept(desk: Desk) -> None:
    error = {"error": {"name": "UnauthorizedError", "message": "this is no token of this host", "retryable": False}}
    with scripted_host(401, json.dumps(error).encode()) as host:
        said = fails_in_one_sentence(desk.run("auth", "set", "--host", host.url, stdin="wrong"))

    assert "this is no token of this host" in said
    assert not desk.file.exists()


def test_a_token_that_nobody_has_looked_at_is_not_kept(desk: Desk) -> None:
    with scripted_host(body=json.dumps({**OWN, "id": "anonymous"}).encode()) as host:
        said = fails_in_one_sentence(desk.run("auth", "set", "--host", host.url, stdin="for-another"))

    assert "asks for no token and has looked at none, so nothing is kept" in said
    assert not desk.file.exists()


@pytest.mark.parametrize("words", [("revoke",), ("rotate",)])
def test_a_whole_token_in_the_place_of_its_id_comes_into_no_url(desk: Desk, words: tuple[str, ...]) -> None:
    made = {**OWN, "created_at": "", "expired": False, "last_used_at": None, "token": "hft_k3fq7wz2ab_y"}
    with scripted_host(body=json.dumps(made).encode()) as host:
        done = desk.run("token", *words, f"hft_k3fq7wz2ab_{'x' * 43}", "--host", host.url)

    assert done.exit_code == 0
    assert [each.path for each in host.asked] == ["/v1/tokens/k3fq7wz2ab" + ("/rotate" if words == ("rotate",) else "")]
    assert "xxx" not in done.output


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_file_that_others_may_read_or_write_is_refused_by_name(desk: Desk, mode: int) -> None:
    with scripted_host(body=ANSWER) as host:
        desk.run("auth", "set", "--host", host.url, stdin="kept")
        desk.file.chmod(mode)
        said = [
            fails_in_one_sentence(desk.run(*words, "--host", host.url, stdin="other"))
            for words in (("list",), ("auth", "status"), ("auth", "set"), ("auth", "forget"))
        ]

        assert len(host.asked) == 1  # nothing was sent
    for each in said:
        assert f"{desk.file} holds tokens, and others may read it (mode {mode:o})" in each


def test_a_file_of_a_later_format_is_refused_by_name_and_left_as_it_is(desk: Desk) -> None:
    desk.file.parent.mkdir(parents=True)
    desk.file.write_text('{"format":2,"tokens":{}}')
    desk.file.chmod(0o600)
    said = f"{desk.file} has the format 2, this holdfast knows 1: use the later one."

    assert said in fails_in_one_sentence(desk.run("list", "--host", "http://x.invalid"))
    assert said in fails_in_one_sentence(desk.run("auth", "forget", "--host", "http://x.invalid"))
    assert desk.file.read_text() == '{"format":2,"tokens":{}}'


def test_a_file_of_the_first_format_is_read(desk: Desk) -> None:
    desk.file.parent.mkdir(parents=True)
    desk.file.write_text('{"format": 1, "tokens": {"http://x.invalid": "hft_a"}}')
    desk.file.chmod(0o600)

    assert "No host answers at http://x.invalid" in fails_in_one_sentence(
        desk.run("list", "--host", "http://x.invalid")
    )


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format":"2","tokens":{}}', '{"format":1,"tokens":{"a":1}}'])
def test_a_file_that_does_not_read_is_named(desk: Desk, text: str) -> None:
    desk.file.parent.mkdir(parents=True)
    desk.file.write_text(text)
    desk.file.chmod(0o600)

    assert f"{desk.file} is no list of tokens" in fails_in_one_sentence(desk.run("list", "--host", "http://x.invalid"))


@pytest.mark.parametrize(
    "url", ["HTTPS://Actors.Example.COM:443/", "https://actors.example.com", "https://actors.example.com:443//"]
)
def test_a_host_is_the_same_however_its_url_is_written(url: str) -> None:
    assert checked_url(url) == "https://actors.example.com"


@pytest.mark.parametrize("url", ["http://ann:pass@x.invalid", "https://ann@x.invalid/", "ann:pass@x.invalid:8787"])
def test_a_url_with_a_password_is_refused_and_neither_kept_nor_shown(desk: Desk, url: str) -> None:
    for words in (("auth", "set", "--token-file", "/dev/null"), ("list",)):
        said = fails_in_one_sentence(desk.run(*words, "--host", url))

        assert "The URL of --host has a user or a password" in said
        assert "ann" not in said
    assert not desk.file.exists()


def test_what_commands_keep_at_one_time_is_all_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(desk.folder))
    ready = threading.Barrier(8)

    def keep(number: int) -> None:
        ready.wait(10)
        with tokens.changing_tokens() as kept:
            kept[f"http://{number}"] = "x"

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(desk.kept) == [f"http://{number}" for number in range(8)]


def test_a_token_that_is_set_takes_nothing_from_what_was_kept_while_its_host_was_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_host(body=ANSWER) as host, scripted_host(body=ANSWER) as other:
        read = tokens.kept_tokens()

        def read_and_be_overtaken() -> dict[str, str]:
            monkeypatch.undo()
            desk.run("auth", "set", "--host", other.url, stdin="other")
            return read

        monkeypatch.setattr("holdfast_host.cli.commands.auth.kept_tokens", read_and_be_overtaken)
        desk.run("auth", "set", "--host", host.url, stdin="first")

        assert desk.kept == {host.url: "first", other.url: "other"}


@pytest.mark.parametrize("home", ["absent", "no folder"])
def test_a_user_without_a_home_has_nothing_kept_and_all_other_commands(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")  # as it does for a number without an account

    place: dict[str, Any] = {"XDG_CONFIG_HOME": ""}
    if home == "absent":
        monkeypatch.setattr(Path, "expanduser", refuse)
    else:
        place = {"XDG_CONFIG_HOME": "/dev/null"}
    with scripted_host(body=b'{"functions":[]}') as host:
        assert run("list", "--host", host.url, **place).exit_code == 0
        host.body = ANSWER
        said = fails_in_one_sentence(run("auth", "set", "--host", host.url, stdin="x", **place))

    assert ("set XDG_CONFIG_HOME" if home == "absent" else "cannot be written: Not a directory") in said


def test_a_kept_token_that_can_be_no_header_is_named(desk: Desk) -> None:
    desk.file.parent.mkdir(parents=True)
    desk.file.write_text('{"format":1,"tokens":{"http://x.invalid":"a\\nb"}}')
    desk.file.chmod(0o600)

    said = fails_in_one_sentence(desk.run("list", "--host", "http://x.invalid"))
    assert f"{desk.file} must hold one token of visible ASCII characters" in said


def test_a_token_is_forgotten(desk: Desk) -> None:
    with scripted_host(body=ANSWER) as host, scripted_host(body=ANSWER) as other:
        for each in (host, other):
            desk.run("auth", "set", "--host", each.url, stdin="kept")
        done = desk.run("auth", "forget", "--host", host.url)

        assert done.output == f"No token is kept for {host.url} any more.\n"
        assert desk.kept == {other.url: "kept"}
        assert "No token is kept for" in fails_in_one_sentence(desk.run("auth", "forget", "--host", host.url))


def test_a_new_token_alone_is_on_standard_output(desk: Desk) -> None:
    made = {**OWN, "token": "hft_k3fq7wz2ab_x", "expires_at": "2027-01-01T00:00:00Z"}
    with scripted_host(201, json.dumps(made).encode()) as host:
        done = desk.run(
            "token", "create", "--scope", "call", "--type", "A", "--type", "B", "--expires", "90d", "--host", host.url
        )

        assert json.loads(host.asked[0].body) == {
            "scope": "call", "name": "", "types": ["A", "B"], "expires_s": 90 * 86_400
        }  # fmt: skip
    assert done.stdout == "hft_k3fq7wz2ab_x\n"
    assert done.stderr == ("The token k3fq7wz2ab, scope deploy, until 2027-01-01T00:00:00Z. It is shown this once:\n")


@pytest.mark.parametrize("span", ["", "90", "d", "-1d", "1w", "1.5d", "9999999999d"])
def test_a_span_of_time_that_is_none_is_refused(desk: Desk, span: str) -> None:
    said = fails_in_one_sentence(desk.run("token", "create", "--scope", "read", "--expires", span))

    assert "is no span of time: write 12h, 90d, or 30m" in said
