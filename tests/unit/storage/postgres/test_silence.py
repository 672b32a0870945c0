"""A server that has fallen silent keeps nobody for ever: not who connects, and not who fetches a component."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.postgres import session
from holdfast_host.storage.postgres.owning import make_tables
from holdfast_host.storage.postgres.records import components
from holdfast_host.storage.postgres.session import StoreAddress, StoreUnreachableError, connect
from tests.harness.postgres import server

LIMIT_S = 0.3


@pytest.fixture
def address() -> StoreAddress:
    made = StoreAddress(server().new_database(), "single")
    with connect(made, "test", checked=False) as connection:
        make_tables(connection)
    return made


@pytest.fixture
def holder(address: StoreAddress) -> Iterator[psycopg.Connection[Any]]:
    """Somebody whose locks have the server answer nothing: to who asks, it is silent."""
    with psycopg.connect(address.dsn, options="-c search_path=holdfast") as connection:
        yield connection


def test_a_server_that_falls_silent_behind_a_new_connection_is_given_up(
    address: StoreAddress, holder: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_S", LIMIT_S)
    holder.execute("LOCK TABLE cluster")
    with pytest.raises(StoreUnreachableError, match="broke off"):
        connect(address, "test")


def test_a_server_that_falls_silent_while_it_gives_or_takes_a_component_is_given_up(
    address: StoreAddress, holder: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A host that stands by fetches components, and ends that before it serves."""
    component = tmp_path / "component"
    component.write_bytes(b"component")
    kept = components.StoreComponents(address, "test")
    kept.put("0" * 64, component)
    monkeypatch.setattr(components, "PIECE_S", LIMIT_S)
    holder.execute("LOCK TABLE component")
    with pytest.raises(HostUnavailableError, match="cannot be read from the store"):
        kept.fetch("0" * 64, tmp_path / "draft")
    with pytest.raises(HostUnavailableError, match="cannot be kept in the store"):
        kept.put("0" * 64, component)
