"""Secrets: sealed on disk, told to workers, and to nobody else."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import ConfigurationError, HoldfastError, HostUnavailableError, OutboundNotGrantedError
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.secrets.operations import ALL_BYTES_MAX, VALUE_BYTES_MAX, Secrets
from holdfast_host.supervisor.secrets.secret_store import Secret, SecretStore
from holdfast_host.wire.control.catalog import Deployment
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.starts import WorkerStart
from tests.unit.supervisor.deploying import DeployBench

VALUE = "correct horse battery staple ü"


class Bench:
    """Secrets over a real vault and a real registry; notes what workers are told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.deploys = DeployBench(folder)
        self.folder = self.deploys.directory.secrets
        self.vault = SecretStore.open(self.folder)
        self.told: list[dict[str, str]] = []
        self.told_courier: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.log = io.StringIO()
        self.secrets = Secrets(self.vault, self.deploys.registry, self._tell, EventLog("debug", self.log))

    async def _tell(self, values: dict[str, str], all_values: dict[str, str], sealed: dict[str, str]) -> None:
        self.told.append(values)
        self.told_courier = (all_values, sealed)

    def set(self, name: str, value: str, sealed_for: str | None = None) -> dict[str, Any]:
        return asyncio.run(self.secrets.set("default", name, value, sealed_for))

    def delete(self, name: str) -> dict[str, Any]:
        return asyncio.run(self.secrets.delete("default", name))

    def names(self) -> list[str]:
        return [each["name"] for each in self.secrets.list("default")["secrets"]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "data")


def test_a_secret_is_told_to_workers_and_survives_a_restart(bench: Bench) -> None:
    first = bench.set("API_KEY", VALUE)
    second = bench.set("API_KEY", "other")
    bench.set("ANOTHER", VALUE)

    assert (first["created"], second["created"]) == (True, False)
    assert bench.told == [{"API_KEY": VALUE}, {"API_KEY": "other"}, {"ANOTHER": VALUE, "API_KEY": "other"}]
    assert SecretStore.open(bench.folder).values() == {"ANOTHER": VALUE, "API_KEY": "other"}
    assert bench.names() == ["ANOTHER", "API_KEY"]


def test_a_value_is_in_no_answer_no_log_no_repr_and_no_file(bench: Bench) -> None:
    answers = [bench.set("API_KEY", VALUE), bench.secrets.list("default"), bench.delete("API_KEY")]
    bench.set("API_KEY", VALUE)
    start = WorkerStart(
        0, "", 0, Routing.over(1, ["w"]), bench.deploys.registry.catalog(), limits=None,  # type: ignore[arg-type]
        secrets=bench.vault.values(),
    )  # fmt: skip
    texts = [json.dumps(answers), bench.log.getvalue(), repr(bench.vault.all()), repr(start)]
    files = b"".join(path.read_bytes() for path in bench.folder.rglob("*") if path.is_file())

    assert not any("correct horse" in text for text in texts)
    assert b"correct horse" not in files
    assert b"API_KEY" in files


def test_the_key_and_the_sealed_file_are_their_owners_only(bench: Bench) -> None:
    bench.set("API_KEY", VALUE)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [bench.folder, *bench.folder.iterdir()]}

    assert modes == {"secrets": 0o700, "key": 0o600, "sealed.json": 0o600}


def test_the_same_value_is_sealed_differently_each_time(bench: Bench) -> None:
    bench.set("A", VALUE)
    bench.set("B", VALUE)
    sealed = {entry["sealed"] for entry in json.loads((bench.folder / "sealed.json").read_text())["secrets"].values()}

    assert len(sealed) == 2


def test_a_deleted_secret_is_gone_and_an_unknown_one_is_said_to_be(bench: Bench) -> None:
    bench.set("API_KEY", VALUE)
    bench.delete("API_KEY")

    assert bench.told[-1] == {}
    assert bench.names() == []
    with pytest.raises(HoldfastError, match="no secret 'API_KEY'") as refused:
        bench.delete("API_KEY")
    assert refused.value.status == 404


def _swap_names(folder: Path) -> None:
    facts = json.loads((folder / "sealed.json").read_text())
    found = facts["secrets"]
    found["A"], found["B"] = found["B"], found["A"]
    (folder / "sealed.json").write_text(json.dumps(facts))


def _flip_bit(folder: Path) -> None:
    key = bytearray((folder / "key").read_bytes())
    key[0] = ord("A") if key[0] != ord("A") else ord("B")
    (folder / "key").write_bytes(key)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "key").unlink(), "missing"),
        (lambda folder: (folder / "key").write_bytes(b"AAAA"), "3 bytes"),
        (lambda folder: (folder / "key").write_bytes(b"AAA"), "/key is damaged"),
        (lambda folder: ((folder / "key").unlink(), (folder / "key").mkdir()), "/key cannot be read"),
        (_flip_bit, "not the key"),
        (_swap_names, "not the key"),
        (lambda folder: (folder / "sealed.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "sealed.json").write_text('{"format": 9}'), "format 9"),
    ],
)
def test_a_host_does_not_start_on_a_vault_that_it_cannot_open(bench: Bench, damage: Any, says: str) -> None:
    bench.set("A", VALUE)
    bench.set("B", "other")
    damage(bench.folder)

    with pytest.raises(ConfigurationError, match=says) as refused:
        SecretStore.open(bench.folder)
    assert "correct horse" not in str(refused.value)


def test_a_disk_that_refuses_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.set("API_KEY", VALUE)

    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(HostUnavailableError, match="No space left"):
        bench.set("OTHER", VALUE)
    monkeypatch.undo()

    assert bench.names() == ["API_KEY"]
    assert sorted(path.name for path in bench.folder.iterdir()) == ["key", "sealed.json"]
    assert len(bench.told) == 1


@pytest.mark.parametrize("name", ["", "_KEY", "a-b", "a__b", "1a", "ä", "x" * 65])
def test_a_name_is_an_identifier_that_does_not_begin_with_an_underscore(bench: Bench, name: str) -> None:
    with pytest.raises(HoldfastError) as refused:
        bench.set(name, VALUE)

    assert refused.value.status == 400


def test_values_are_bounded_one_by_one_and_in_all(bench: Bench) -> None:
    with pytest.raises(HoldfastError, match=str(VALUE_BYTES_MAX)):
        bench.set("BIG", "x" * (VALUE_BYTES_MAX + 1))
    full = {f"S{n}": Secret("x" * VALUE_BYTES_MAX, 1) for n in range(ALL_BYTES_MAX // VALUE_BYTES_MAX)}
    bench.vault.replace(full)
    bench.set("S0", "y" * VALUE_BYTES_MAX)
    with pytest.raises(HoldfastError, match=str(ALL_BYTES_MAX)):
        bench.set("ONE_MORE", "x")


MANIFEST = """
name = "shop"
compatibility_date = "2026-11-01"
[[actors]]
binding = "CART"
type = "Cart"
[vars]
GREETING = "hello"
"""
NOTE = json.dumps({"actors": [{"type": "Note", "methods": [], "doc": ""}], "handlers": []})
CART = json.dumps({"actors": [{"type": "Cart", "methods": [], "doc": ""}], "handlers": []})


def test_a_version_keeps_the_names_of_its_secrets_and_the_list_says_who_sees_them(bench: Bench) -> None:
    bench.deploys.deploy("shop", CART, f'{MANIFEST}[secrets]\nnames = ["API_KEY", "LATER"]\n')
    bench.deploys.deploy("other", NOTE, MANIFEST.replace("shop", "other").replace("Cart", "Note"))
    bench.set("API_KEY", VALUE)
    bench.set("GREETING", "a name that a function uses otherwise is no less a secret of others")

    seen = {each["name"]: each["functions"] for each in bench.secrets.list("default")["secrets"]}
    assert seen == {"API_KEY": ["shop"], "GREETING": []}
    named = {each.function: each.secrets for each in bench.deploys.registry.current()}
    assert named == {"shop": ("API_KEY", "LATER"), "other": ()}


def test_a_version_that_was_kept_before_manifests_named_secrets_sees_none(bench: Bench) -> None:
    facts = Deployment("shop", "fn_1", 1, "", "", (), secrets=("API_KEY",)).to_json()
    del facts["secrets"]

    assert Deployment.from_json(facts).secrets == ()


STRIPE = "https://api.stripe.com"


def test_a_sealed_secret_is_told_to_the_courier_alone_with_its_origin(bench: Bench) -> None:
    bench.set("API_KEY", "open")
    shown = bench.set("STRIPE_KEY", VALUE, "https://API.stripe.com:443/")

    assert shown["sealed_for"] == STRIPE
    assert bench.told[-1] == {"API_KEY": "open"}
    assert bench.told_courier == ({"API_KEY": "open", "STRIPE_KEY": VALUE}, {"STRIPE_KEY": STRIPE})
    opened = SecretStore.open(bench.folder)
    assert opened.values() == {"API_KEY": "open"}
    assert opened.for_courier().sealed == {"STRIPE_KEY": STRIPE}
    with pytest.raises(HoldfastError, match="no origin") as refused:
        bench.set("OTHER", VALUE, "https://*.example.com")
    assert refused.value.status == 400


def test_an_origin_that_was_changed_on_disk_opens_nothing(bench: Bench) -> None:
    """And a release that knows no sealed ones refuses the file, which says that it has another format."""
    bench.set("STRIPE_KEY", VALUE, STRIPE)
    facts = json.loads((bench.folder / "sealed.json").read_text())
    assert facts["format"] == 2
    facts["secrets"]["STRIPE_KEY"]["for"] = "https://evil.example"
    (bench.folder / "sealed.json").write_text(json.dumps(facts))

    with pytest.raises(ConfigurationError, match="not the key"):
        SecretStore.open(bench.folder)


OUTBOUND = """
[outbound]
allow = ["https://api.stripe.com/v1/"]
[outbound.headers."https://api.stripe.com"]
Authorization = "Bearer {STRIPE_KEY}"
"""


def test_the_list_says_whose_headers_a_secret_goes_into(bench: Bench) -> None:
    bench.deploys.deploy("shop", CART, f'{MANIFEST}{OUTBOUND}[secrets]\nnames = ["STRIPE_KEY"]\n')
    bench.set("STRIPE_KEY", VALUE)

    assert bench.secrets.list("default")["secrets"][0]["functions"] == ["shop"]
    (deployed,) = bench.deploys.registry.current()
    assert deployed.outbound.allow == ("https://api.stripe.com/v1/",)
    assert deployed.outbound.headers == {STRIPE: {"Authorization": "Bearer {STRIPE_KEY}"}}
    assert Deployment.from_json(json.loads(json.dumps(deployed.to_json()))) == deployed


def test_a_manifest_that_asks_for_more_than_the_operator_grants_is_refused(bench: Bench) -> None:
    for allow in ("http://api.example.com", "https://*", "http://*"):
        asks = f'{MANIFEST}[outbound]\nallow = ["{allow}"]\n'
        if allow == "https://*":
            bench.deploys.deploy("shop", CART, asks)
            continue
        with pytest.raises(OutboundNotGrantedError, match="this host grants https://") as refused:
            bench.deploys.deploy("shop", CART, asks)
        assert refused.value.status == 422
        assert allow in refused.value.message
        # Whoever follows it keeps what was granted before.
        assert "start the host with all of: --outbound 'https://*' --outbound " in refused.value.message
