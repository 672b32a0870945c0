"""The tables of the registry, in sqlite. Where hosts share a store its tables have the same columns, see mirror.py."""

from __future__ import annotations

from typing import Final

FORMAT: Final = 1
FORMAT_TENANTS: Final = 2  # with tenants beside `default`: a release that knows none must not mix their names up
SCHEMA: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE functions (
    func_id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    current INTEGER,               -- NULL: undeployed, its types stay reserved
    last_version INTEGER NOT NULL, -- the highest ever given
    failure TEXT,                  -- why the latest deploy failed; NULL where it did not
    changed_us INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX deployed_names ON functions (tenant, name) WHERE current IS NOT NULL;
CREATE TABLE versions (
    func_id TEXT NOT NULL REFERENCES functions (func_id),
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    manifest TEXT,                 -- as it was sent; NULL for a bare component
    description TEXT NOT NULL,     -- what the component says of itself
    deployment TEXT NOT NULL,      -- what a worker needs, without the compiled file's path
    compiled TEXT NOT NULL,        -- that file's name in data/compiled
    created_us INTEGER NOT NULL,
    PRIMARY KEY (func_id, version)
) STRICT;
CREATE TABLE types (
    type_id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again
    tenant TEXT NOT NULL,
    type TEXT NOT NULL,
    func_id TEXT NOT NULL REFERENCES functions (func_id),
    UNIQUE (tenant, type)
) STRICT;
INSERT INTO about VALUES ('format', 1), ('catalog', 0);
"""
TENANTS: Final = (  # what makes a registry one with tenants, statement by statement
    """
CREATE TABLE tenants (
    tenant TEXT PRIMARY KEY,
    limits TEXT NOT NULL,          -- a JSON object, what is not in it is not limited
    created_us INTEGER NOT NULL
) STRICT""",
    "UPDATE about SET value = 2 WHERE name = 'format'",
)
