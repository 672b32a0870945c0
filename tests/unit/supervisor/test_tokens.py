"""Tokens: kept as digests, told to fronts, and shown once."""

from __future__ import annotations

import errno
import io
import json
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import (
    BadRequestError,
    ConfigurationError,
    HoldfastError,
    HostUnavailableError,
    InvalidNameError,
    StorageFullError,
    UnknownTokenError,
)
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tokens import Scope, digest_of, id_of
from holdfast_host.storage.records import MovedError
from holdfast_host.supervisor.registry import file_document
from holdfast_host.supervisor.tokens import operations, token_store
from holdfast_host.supervisor.tokens.operations import LIFETIME_S_MAX, TokenOperations
from holdfast_host.supervisor.tokens.token_store import USE_KEPT_US, Token, TokenStore
from holdfast_host.wire.control.operations import CreateToken, ListTokens, RevokeToken, RotateToken
from holdfast_host.wire.control.tokens import KnownTokens
from tests.harness.host import PROJECT

FORMAT_1 = PROJECT / "tests" / "fixtures" / "tokens" / "format-1.json"
FORMAT_2 = PROJECT / "tests" / "fixtures" / "tokens" / "format-2.json"


@dataclass
class Bench:
    """Tokens over a real file; notes what fronts are told."""

    path: Path
    now_us: int = 1_800_000_000_000_000
    tokens_max: int = 5
    told: list[KnownTokens] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.store = TokenStore.open(self.path)
        limits = Limits(tokens_max=self.tokens_max)
        self.tokens = TokenOperations(self.store, limits, self.told.append, EventLog("debug", self.log))

    def create(self, scope: str = "call", name: str = "", types: list[str] | None = None, **more: Any) -> Any:
        return self.tokens.perform(CreateToken(None, scope, name, types or [], **more))

    def listed(self) -> list[Any]:
        return list(self.tokens.perform(ListTokens(None))["tokens"])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path / "tokens.json")
    for module in (operations, token_store):
        monkeypatch.setattr(module, "now_us", lambda: made.now_us)
    made.restart()
    return made


def test_a_token_is_told_to_fronts_as_its_digest_and_survives_a_restart(bench: Bench) -> None:
    made = bench.create("call", "shop", ["Account", "Cart", "Account"], expires_s=60)
    [facts] = bench.told[-1].tokens
    bench.restart()

    assert bench.told[-1].asked_for
    assert facts.id == made["id"] == id_of(made["token"])
    assert facts.digest == digest_of(made["token"])
    assert (facts.scope, facts.types, facts.expires_us) == ("call", ("Account", "Cart"), bench.now_us + 60_000_000)
    assert bench.store.for_fronts() == bench.told[-1]
    assert bench.listed() == [{key: value for key, value in made.items() if key != "token"}]


def test_the_text_of_a_token_is_in_no_file_no_log_and_no_list(bench: Bench) -> None:
    made = [bench.create(name="a"), bench.create(name="b")]
    made.append(bench.tokens.perform(RotateToken(None, made[0]["id"])))
    texts = [bench.path.read_text(), bench.log.getvalue(), json.dumps(bench.listed()), repr(bench.told)]

    for each in made:
        secret = each["token"].removeprefix(f"hft_{each['id']}_")
        assert not any(secret in text for text in texts)
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600


def test_a_rotated_token_has_another_text_and_its_lifetime_again(bench: Bench) -> None:
    made = bench.create(expires_s=60)
    bench.now_us += 3_600_000_000
    assert bench.listed()[0]["expired"]
    rotated = bench.tokens.perform(RotateToken(None, made["id"]))

    assert rotated["token"] != made["token"]
    assert (rotated["id"], rotated["expired"]) == (made["id"], False)
    assert [each.digest for each in bench.told[-1].tokens] == [digest_of(rotated["token"])]
    assert bench.told[-1].tokens[0].expires_us == bench.now_us + 60_000_000


def test_a_front_that_starts_after_the_clock_was_set_back_is_given_no_expired_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's own time goes on, whatever the wall clock does."""
    at_ns = 0
    monkeypatch.setattr(token_store, "monotonic_ns", lambda: at_ns)
    bench.restart()
    bench.create(name="short", expires_s=60)
    bench.create(name="long", expires_s=3_600)

    at_ns = 61 * 10**9  # and the wall clock has been set back by as much
    short, long = bench.store.for_fronts().tokens

    assert short.expires_us == 0
    assert long.expires_us == bench.now_us + 3_600_000_000
    assert [each["expires_at"] for each in bench.listed()] == ["2027-01-15T08:01:00Z", "2027-01-15T09:00:00Z"]


def test_a_host_whose_tokens_are_all_revoked_still_asks_for_one(bench: Bench) -> None:
    assert not bench.store.for_fronts().asked_for
    bench.tokens.perform(RevokeToken(None, bench.create()["id"]))
    bench.restart()

    assert bench.told[-1] == bench.store.for_fronts() == KnownTokens(asked_for=True)


@pytest.mark.parametrize("operation", [RevokeToken, RotateToken])
def test_what_there_is_no_token_of_is_said(bench: Bench, operation: Any) -> None:
    with pytest.raises(UnknownTokenError, match="there is no token 'k'"):
        bench.tokens.perform(operation(None, "k"))


def test_a_whole_token_in_the_place_of_its_id_is_not_said_again(bench: Bench) -> None:
    text = bench.create()["token"]
    for given in (text, text + "x"):
        with pytest.raises(UnknownTokenError) as raised:
            bench.tokens.perform(RevokeToken(None, given))

        assert text[15:20] not in raised.value.message


@pytest.mark.parametrize(
    ("wish", "kind", "said"),
    [
        (CreateToken(None, "call", "x" * 65), BadRequestError, "at most 64 characters"),
        (CreateToken(None, "call", "a\u202eb"), BadRequestError, "which can be printed"),
        (CreateToken(None, "call", "a\nb"), BadRequestError, "which can be printed"),
        (CreateToken(None, "call", "\ud800"), BadRequestError, "which can be printed"),
        (CreateToken(None, "read", "", ["Account"]), BadRequestError, "types are for tokens of the scope call"),
        (CreateToken(None, "call", "", ["A"] * 101), BadRequestError, "at most 100 types"),
        (CreateToken(None, "call", "", ["a b"]), InvalidNameError, "'a b' is no type"),
        (CreateToken(None, "call", expires_s=0), BadRequestError, "1 to 315360000 seconds"),
        (CreateToken(None, "call", expires_s=LIFETIME_S_MAX + 1), BadRequestError, "1 to 315360000 seconds"),
    ],
)
def test_what_no_token_can_be_is_refused(bench: Bench, wish: CreateToken, kind: type[HoldfastError], said: str) -> None:
    with pytest.raises(kind, match=said):
        bench.tokens.perform(wish)

    assert not bench.told
    assert not bench.path.exists()


@pytest.mark.limit("tokens_max")
def test_there_are_so_many_tokens_and_no_more(bench: Bench) -> None:
    made = [bench.create() for _ in range(bench.tokens_max)]
    with pytest.raises(BadRequestError, match="there are 5 tokens, the limit is 5: revoke"):
        bench.create()
    bench.tokens.perform(RevokeToken(None, made[0]["id"]))

    bench.create()
    assert Limits().tokens_max == 1_000


def test_all_tokens_together_name_so_many_types_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "ALL_TYPES_MAX", 5)
    bench.create(types=["A", "B", "C"])
    last = bench.create(types=["D", "E"])

    with pytest.raises(BadRequestError, match="would name 6 types, the limit is 5"):
        bench.create(types=["F"])

    bench.create()
    bench.tokens.perform(RevokeToken(None, last["id"]))
    assert bench.create(types=["F"])["types"] == ["F"]


def test_a_disk_that_refuses_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench.create()
    told = len(bench.told)

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_document, "write_durably", refuse)
    for operation in (CreateToken(None, "call"), RotateToken(None, made["id"]), RevokeToken(None, made["id"])):
        with pytest.raises(StorageFullError, match="the tokens cannot be written: No space left on device; nothing"):
            bench.tokens.perform(operation)

    assert len(bench.told) == told
    assert len(bench.listed()) == 1


def test_the_last_use_is_shown_to_the_minute_and_written_now_and_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench.create()
    writes: list[bytes] = []

    def write(path: Path, content: bytes) -> None:
        writes.append(content)
        path.write_bytes(content)

    monkeypatch.setattr(file_document, "write_durably", write)
    for _ in range(100):
        bench.tokens.note_used([made["id"], "nobody"])
        bench.now_us += USE_KEPT_US // 100
    assert len(writes) == 1
    bench.tokens.note_used([made["id"]])

    assert len(writes) == 2
    assert bench.listed()[0]["last_used_at"] == "2027-01-15T08:05:00Z"
    bench.restart()
    assert bench.listed()[0]["last_used_at"] == "2027-01-15T08:05:00Z"
    bench.now_us -= 10 * USE_KEPT_US  # a clock that was set back
    bench.tokens.note_used([made["id"]])
    assert bench.listed()[0]["last_used_at"] == "2027-01-15T08:05:00Z"


def test_a_use_that_cannot_be_written_stops_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench.create()

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(file_document, "write_durably", refuse)
    bench.tokens.note_used([made["id"]])

    assert bench.listed()[0]["last_used_at"] == "2027-01-15T08:00:00Z"
    assert "the last use of tokens cannot be written" in bench.log.getvalue()


@pytest.mark.parametrize("error", [HostUnavailableError("the store cannot be read"), ConfigurationError("of format 9")])
def test_a_use_over_what_another_host_has_changed_and_nobody_can_read_stops_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: HoldfastError
) -> None:
    made = bench.create()

    def refuse(*_given: object, kind: Exception = error) -> None:
        raise kind

    monkeypatch.setattr(bench.store, "note_used", partial(refuse, kind=MovedError("tokens")))
    monkeypatch.setattr(bench.store, "reload", refuse)
    bench.tokens.note_used([made["id"]])

    assert "the last use of tokens cannot be written" in bench.log.getvalue()


def test_tokens_that_the_second_format_kept_say_whose_they_are() -> None:
    found = TokenStore.open(FORMAT_2).all()

    assert {each.name: each.tenant for each in found.values()} == {"host": None, "of acme": "acme"}


def test_a_file_of_tokens_is_one_of_format_1_until_one_is_of_a_tenant(bench: Bench) -> None:
    """A release that knows no tenants would take their tokens for the host's, so it must not read them."""
    bench.create("admin")
    before = json.loads(bench.path.read_text())["format"]
    bench.tokens.perform(CreateToken("acme", "admin"))

    assert (before, json.loads(bench.path.read_text())["format"]) == (1, 2)


def test_tokens_that_the_first_format_kept_are_read_as_they_were() -> None:
    found = TokenStore.open(FORMAT_1).all()

    assert found == {
        "k3fq7wz2ab": Token(
            "k3fq7wz2ab",
            digest_of("hft_k3fq7wz2ab_the-text-of-a-token-that-a-test-has-made-up0"),
            "shop ü",
            Scope.CALL,
            ("Account", "Cart"),
            1_790_000_000_000_000,
            7_776_000,
            1_797_776_000_000_000,
            1_790_000_060_000_000,
        ),
        "aaaaaaaaaa": Token("aaaaaaaaaa", "0" * 64, "", Scope.ADMIN, (), 1_790_000_000_000_000, None, None),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format":3,"tokens":[]}', "has format 3, this host reads formats up to 2"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format":1,"tokens":[{"id":"k3fq7wz2ab"}]}', "cannot be read"),
        ('{"format":1,"tokens":[[]]}', "cannot be read"),
        (FORMAT_1.read_text().replace("0" * 64, "é" * 64), "cannot be read"),  # no text that is compared holds it
    ],
)
def test_a_file_that_is_not_ours_ends_the_start_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tokens.json").write_text(text)

    with pytest.raises(ConfigurationError, match=said):
        TokenStore.open(tmp_path / "tokens.json")
