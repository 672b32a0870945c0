"""Secrets, tokens, the quarantine, the audit log and components, over both homes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
from pathlib import Path

import pytest

from holdfast_host.core.errors import ConfigurationError, HostUnavailableError
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tokens import Scope
from holdfast_host.storage.postgres.records.components import PIECE_BYTES
from holdfast_host.storage.records import MovedError
from holdfast_host.supervisor.homes import Homes
from holdfast_host.supervisor.secrets.operations import Secrets
from holdfast_host.supervisor.secrets.secret_store import Secret
from holdfast_host.supervisor.tokens.operations import TokenOperations
from holdfast_host.supervisor.tokens.token_store import Token
from holdfast_host.wire.control.operations import CreateToken, ListTokens
from tests.contract.homes.conftest import Home

VALUE = "correct horse battery staple"
ALICE = (1, b"alice")


def token(letter: str) -> Token:
    return Token(f"hft_{letter * 10}"[4:], "0" * 64, letter, Scope.CALL, (), 1, None, None)


def quarantine(homes: Homes, times: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for _ in range(times):
        found += homes.quarantine.blame([ALICE], lambda each: ("f", 1))
    return found


def test_secrets_are_kept_with_their_origins(home: Home) -> None:
    kept = {"A": Secret(VALUE, 1), "B": Secret("two", 2, "https://api.example.com")}
    home.open().vault.replace(kept)

    assert home.reopen().vault.all() == kept


def test_a_secret_lies_nowhere_open(shared: Home) -> None:
    shared.open().vault.replace({"A": Secret(VALUE, 1)})
    (document,) = shared.execute("SELECT content FROM document WHERE name = 'secrets'")

    assert b'"A"' in bytes(document[0])
    assert b"correct" not in bytes(document[0])
    assert list(shared.directory().secrets.iterdir()) == []


def test_tokens_are_kept_and_close_what_was_open(home: Home) -> None:
    homes = home.open()
    assert not homes.tokens.for_fronts().asked_for
    homes.tokens.replace({each.id: each for each in (token("a"), token("b"))})
    homes.tokens.replace({})

    assert home.reopen().tokens.for_fronts().asked_for


def test_uses_of_a_token_are_kept(home: Home) -> None:
    homes = home.open()
    homes.tokens.replace({token("a").id: token("a")})
    homes.tokens.note_used([token("a").id], 1 << 50)

    assert [each.used_us for each in home.reopen().tokens.all().values()] == [1 << 50]


def test_who_is_quarantined_is_so_after_a_restart(home: Home) -> None:
    assert quarantine(home.open(), 3) == [ALICE]
    homes = home.reopen()

    assert [*homes.quarantine.listed(lambda each: ("f", 1))] == [ALICE]
    assert homes.quarantine.release(ALICE)
    assert [*home.reopen().quarantine.listed(lambda each: ("f", 1))] == []


def test_the_audit_log_numbers_its_lines_without_gaps(home: Home) -> None:
    audit = home.open().audit
    firsts = [audit.append([{"event": f"{number}", "said": "\x00 ü"}] * 2) for number in range(3)]
    audit = home.reopen().audit

    assert firsts == [1, 3, 5]
    assert [each["number"] for each in audit.read(0, 100)] == [1, 2, 3, 4, 5, 6]
    assert audit.read(2, 2) == [
        {"number": 3, "event": "1", "said": "\x00 ü"},
        {"number": 4, "event": "1", "said": "\x00 ü"},
    ]
    assert audit.read(6, 100) == []


def test_the_oldest_lines_of_the_audit_log_go(home: Home) -> None:
    audit = home.open(audit_bytes_max=80_000).audit
    for _ in range(64):
        audit.append([{"event": "x" * 100}] * 20)
    found = audit.read(0, 10_000)

    assert sum(len(json.dumps(each)) for each in found) < 120_000
    assert [each["number"] for each in found] == list(range(found[0]["number"], 1281))
    assert found[0]["number"] > 1


def test_what_one_host_sets_another_reads_and_neither_is_lost(shared: Home) -> None:
    """Also where both decided over the same state: whoever is later is told, and decides again."""
    first, second = shared.open(0), shared.open(1)
    told: list[dict[str, str]] = []

    async def tell(values: dict[str, str], all_values: dict[str, str], sealed: dict[str, str]) -> None:
        told.append(values)

    log = EventLog("debug", io.StringIO())
    asyncio.run(Secrets(first.vault, first.registry, tell, log).set("default", "A", "1"))
    asyncio.run(Secrets(second.vault, second.registry, tell, log).set("default", "B", "2"))
    first.vault.reload()

    assert told == [{"A": "1"}, {"A": "1", "B": "2"}]
    assert first.vault.values() == {"A": "1", "B": "2"}


def test_secrets_that_are_replaced_over_the_past_are_refused_and_read_anew(shared: Home) -> None:
    first, second = shared.open(0), shared.open(1)
    first.vault.replace({"A": Secret("1", 1)})
    with pytest.raises(MovedError):
        second.vault.replace({"B": Secret("2", 2)})

    assert second.vault.values() == {"A": "1"}


def test_tokens_of_two_hosts_are_one_list(shared: Home) -> None:
    log = EventLog("debug", io.StringIO())
    both = [
        TokenOperations(each.tokens, Limits(), lambda known: None, log) for each in (shared.open(0), shared.open(1))
    ]
    for each in (*both, *both):
        each.perform(CreateToken(None, "call"))
    asyncio.run(both[0].follow())

    assert len(both[0].perform(ListTokens(None))["tokens"]) == 4
    assert len(both[1].perform(ListTokens(None))["tokens"]) == 4


def test_deaths_on_two_hosts_are_held_against_the_same_instance(shared: Home) -> None:
    first, second = shared.open(0), shared.open(1)
    quarantine(first, 2)
    with pytest.raises(MovedError):
        quarantine(second, 1)

    assert quarantine(second, 1) == [ALICE]


def test_lines_of_two_hosts_are_in_one_order(shared: Home) -> None:
    first, second = shared.open(0).audit, shared.open(1).audit
    numbers = [each.append([{"event": "x"}]) for each in (first, second, first, second)]

    assert numbers == [1, 2, 3, 4]
    assert first.read(0, 9) == second.read(0, 9)


def test_no_number_of_a_front_is_given_twice_whichever_host_starts_it(home: Home) -> None:
    """Also where the directory of the host before is lost: rows of its sockets are in the store."""
    numbers = home.open().front_numbers
    given = [numbers.take(), numbers.take()]
    numbers = home.reopen().front_numbers
    given.append(numbers.take())
    if home.is_shared:
        given.append(home.open(1).front_numbers.take())

    assert given == [*range(1, len(given) + 1)]
    assert numbers.live == [3]


def test_a_host_knows_what_another_one_changed_and_not_what_it_did_itself(shared: Home) -> None:
    first, second = shared.open(0), shared.open(1)
    assert first.moved is not None
    assert second.moved is not None
    first.vault.replace({"A": Secret("1", 1)})
    quarantine(first, 1)
    first.audit.append([{"event": "x"}])

    assert (first.moved(), sorted(second.moved())) == ([], ["quarantine", "secrets"])
    second.vault.reload()
    second.quarantine.reload()
    assert second.moved() == []


def test_a_host_without_the_key_of_its_store_does_not_start(shared: Home, tmp_path: Path) -> None:
    shared.open(0).vault.replace({"A": Secret("1", 1)})
    key = shared.key
    shared.key = tmp_path / "missing"
    with pytest.raises(ConfigurationError, match=r"missing is missing: .* --cluster-key-file"):
        shared.open(1)
    shared.key.write_bytes(key.read_bytes()[:8] + b"AAAA" + key.read_bytes()[12:])
    with pytest.raises(ConfigurationError, match="is not the key of this store"):
        shared.open(1)
    shared.key.write_bytes(key.read_bytes())

    assert shared.open(1).vault.values() == {"A": "1"}


def test_a_host_of_a_store_without_secrets_has_its_key_all_the_same(shared: Home, tmp_path: Path) -> None:
    """Else two of them would make one each, and none could open what the other has sealed."""
    shared.open(0)
    shared.key = tmp_path / "other"
    with pytest.raises(ConfigurationError, match="copy one's key file there"):
        shared.open(1)


def component(folder: Path, size_bytes: int) -> tuple[str, Path]:
    content = os.urandom(size_bytes)
    path = folder / "component"
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest(), path


@pytest.mark.parametrize("size_bytes", [1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_a_component_comes_back_as_it_was_put(shared: Home, tmp_path: Path, size_bytes: int) -> None:
    components = shared.open().components
    assert components is not None
    sha256, path = component(tmp_path, size_bytes)
    components.put(sha256, path)
    components.put(sha256, path)
    fetched = components.fetch(sha256, tmp_path / "fetched")

    assert not components.fetch("0" * 64, tmp_path / "none")
    assert fetched
    assert (tmp_path / "fetched").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM component WHERE piece = 1", "UPDATE component SET bytes = 'x' WHERE piece = 1"],
    ids=["gone", "changed"],
)
def test_a_damaged_component_is_not_taken(shared: Home, tmp_path: Path, damage: str) -> None:
    components = shared.open().components
    assert components is not None
    sha256, path = component(tmp_path, 3 * PIECE_BYTES)
    components.put(sha256, path)
    shared.execute(damage)

    with pytest.raises(HostUnavailableError, match="is damaged: deploy it again"):
        components.fetch(sha256, tmp_path / "fetched")


def test_a_component_that_no_version_needs_goes_after_an_hour(shared: Home, tmp_path: Path) -> None:
    """Not before: it may be on its way to be recorded."""
    components = shared.open().components
    assert components is not None
    first, path = component(tmp_path, 10)
    components.put(first, path)
    second, path = component(tmp_path, 10)
    components.put(second, path)
    shared.execute("UPDATE component SET stored = now() - interval '61 minutes'")
    third, path = component(tmp_path, 10)
    components.put(second, path)  # it is brought again
    components.put(third, path)

    assert {sha256 for (sha256,) in shared.execute("SELECT sha256 FROM component")} == {second, third}
