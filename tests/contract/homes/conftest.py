"""What a host keeps beside its instances' storage, over both homes: a data directory, and a store that it shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast_host.core.limits import MIB
from holdfast_host.storage.postgres.owning import make_tables
from holdfast_host.supervisor.directory.layout import DirectoryLayout, make_directory, open_directory
from holdfast_host.supervisor.homes import Homes, open_directory_homes, open_store_homes
from holdfast_host.wire.control.starts import CentralStore
from tests.harness.postgres import server


class Home:
    """One home. `open` is what a host does at its start; all that was opened is closed with the test."""

    def __init__(self, folder: Path, dsn: str | None) -> None:
        self.folder = folder
        self.dsn = dsn
        self.key = folder / "key"
        self._open = ExitStack()
        self._hosts = 0

    @property
    def is_shared(self) -> bool:
        return self.dsn is not None

    def directory(self, number: int = 0) -> DirectoryLayout:
        root = self.folder / f"host{number}"
        make_directory(root)
        return open_directory(root, 1)

    def open(self, host: int = 0, *, audit_bytes_max: int = MIB) -> Homes:
        directory = self.directory(host)
        if self.dsn is None:
            assert host == 0, "a directory is of one host"
            return open_directory_homes(directory, audit_bytes_max, self._open)
        store = CentralStore(self.dsn, "single", f"host{host}", 1)
        return open_store_homes(store, self.key, directory, audit_bytes_max, self._open)

    def close(self) -> None:
        """As when the host ends."""
        self._open.close()

    def reopen(self) -> Homes:
        self.close()
        return self.open()

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """In the database of a shared one, as somebody else."""
        assert self.dsn is not None
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []


def new_database() -> str:
    dsn = server().new_database()
    with psycopg.connect(dsn, autocommit=True) as connection:
        make_tables(connection)
    return dsn


@pytest.fixture(params=["directory", "store"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path, new_database() if request.param == "store" else None)
    yield made
    made.close()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path, new_database())
    yield made
    made.close()
