"""How a version of a function lies in its table: what never changes as JSON, the compiled file by its name alone.

Where that file lies is the host's to say, so that a data directory can be moved.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.supervisor.registry.records import VersionRecord
from holdfast_host.wire.control.catalog import Deployment

if TYPE_CHECKING:
    import sqlite3

COLUMNS: Final = "manifest, description, deployment, compiled, created_us"  # of a row that `read` is given


def insert(db: sqlite3.Connection, record: VersionRecord) -> None:
    """Add a version, in the transaction that is open."""
    deployment = record.deployment
    db.execute(
        "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            deployment.func_id,
            deployment.version,
            deployment.sha256,
            record.manifest,
            json.dumps(record.description),
            json.dumps(replace(deployment, compiled="").to_json()),
            Path(deployment.compiled).name,
            record.created_us,
        ),
    )


def read(row: tuple[Any, ...], compiled_files: Path) -> VersionRecord:
    """What a row says, on a host whose compiled files lie in this folder."""
    manifest, description, deployment, compiled, created_us = row
    facts = {**json.loads(deployment), "compiled": str(compiled_files / compiled)}
    return VersionRecord(Deployment.from_json(facts), manifest, json.loads(description), created_us)
