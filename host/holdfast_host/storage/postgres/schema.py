"""The tables of a store on PostgreSQL, and what each promises.

Rows of a shard are written only by a statement that in itself locks its owner's `seat` row at the owner's `life`; see
`statements`. What a guest or a caller can shape is `bytea`: a text would refuse a NUL. No number of `numbers` is used
twice: `instance.number` is a row's own, `data` is what its keys stand under, `apart` its jobs, receipts and sockets;
the last two change when an instance is emptied, and what stood under the old ones is swept as `garbage`.

What hosts share beside that is functions, secrets, tokens and so on: `functions`, `versions`, `types` and `tenants` are
as in the registry of a data directory (supervisor/registry), `component` as what was deployed, `document` as its small
files.
`document.changed` is the `cluster.catalog` of its last change. In a store of format 1 they lie in the directory of the
host that `cluster.directory` names.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = 3
SCHEMA: Final = "holdfast"
NUMBER_BLOCK: Final = 65_536  # numbers that a worker takes at a time; `numbers` counts in these
NO_ALARM: Final = -1  # in place of an alarm's state

TABLES_1: Final = """
CREATE SCHEMA IF NOT EXISTS holdfast;
SET LOCAL search_path = holdfast;
CREATE TABLE cluster (one bool PRIMARY KEY DEFAULT true CHECK (one), id uuid NOT NULL, format int NOT NULL,
    catalog bigint NOT NULL, directory text NOT NULL);
CREATE TABLE host (host text PRIMARY KEY, life bigint NOT NULL, state text NOT NULL);
CREATE TABLE seat (seat int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, host text NOT NULL, worker int NOT NULL,
    life bigint NOT NULL, lives bigint NOT NULL, UNIQUE (host, worker));
CREATE TABLE reached (seat int NOT NULL, grp bigint NOT NULL, PRIMARY KEY (seat, grp)) WITH (fillfactor = 50);
CREATE TABLE shard (shard smallint PRIMARY KEY, seat int NOT NULL, epoch bigint NOT NULL, grp bigint NOT NULL)
    WITH (fillfactor = 50);
CREATE TABLE instance (number bigint PRIMARY KEY, shard smallint NOT NULL, type_id int NOT NULL,
    name bytea NOT NULL, data bigint NOT NULL, apart bigint NOT NULL, live_bytes bigint NOT NULL,
    apart_bytes bigint NOT NULL, due_us bigint NOT NULL, scheduled_us bigint NOT NULL, retries int NOT NULL,
    state smallint NOT NULL, marks smallint NOT NULL, last_error bytea NOT NULL, trace bytea NOT NULL,
    UNIQUE (type_id, name))
    WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX due ON instance (shard, due_us) WHERE state BETWEEN 0 AND 1;
CREATE INDEX alarms ON instance (state, due_us, number) WHERE state >= 0;
CREATE TABLE kv (data bigint NOT NULL, k bytea NOT NULL, v bytea NOT NULL, PRIMARY KEY (data, k))
    WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE TABLE job (apart bigint NOT NULL, id bytea NOT NULL, owner bigint NOT NULL, shard smallint NOT NULL,
    pool smallint NOT NULL, state smallint NOT NULL, due_us bigint NOT NULL, job bytea NOT NULL,
    PRIMARY KEY (apart, id)) WITH (fillfactor = 80);
CREATE INDEX job_due ON job (shard, pool, due_us, apart, id) WHERE state <= 2;
CREATE INDEX job_states ON job (state, apart, id);
CREATE TABLE receipt (apart bigint NOT NULL, hash bytea NOT NULL, owner bigint NOT NULL,
    shard smallint NOT NULL, expires_s bigint NOT NULL, receipt bytea NOT NULL, PRIMARY KEY (apart, hash));
CREATE INDEX receipt_old ON receipt (shard, expires_s);
CREATE TABLE socket (apart bigint NOT NULL, socket bigint NOT NULL, owner bigint NOT NULL,
    shard smallint NOT NULL, socket_row bytea NOT NULL, PRIMARY KEY (apart, socket)) WITH (fillfactor = 80);
CREATE TABLE garbage (number bigint NOT NULL, is_apart int NOT NULL, shard smallint NOT NULL,
    PRIMARY KEY (number, is_apart));
CREATE INDEX garbage_of ON garbage (shard);
CREATE SEQUENCE numbers INCREMENT 65536 MINVALUE 1;
INSERT INTO shard SELECT s, 0, 1, 1 FROM generate_series(0, 255) AS s;
"""

# What brings a store to a format, from the one before.
STEPS: Final = {
    2: """
SET LOCAL search_path = holdfast;
ALTER TABLE host ADD COLUMN IF NOT EXISTS beat bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS name text NOT NULL DEFAULT '', ADD COLUMN IF NOT EXISTS url text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS release text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE cluster ADD COLUMN next_type int NOT NULL DEFAULT 1, ADD COLUMN next_front bigint NOT NULL DEFAULT 1,
    ADD COLUMN key_check bytea NOT NULL DEFAULT '';
CREATE TABLE document (name text PRIMARY KEY, changed bigint NOT NULL, change bigint NOT NULL, content bytea);
INSERT INTO document SELECT name, 0, 0, NULL
    FROM unnest(ARRAY['registry', 'secrets', 'tokens', 'quarantine', 'audit', 'fronts']) AS name;
CREATE TABLE functions (func_id text PRIMARY KEY, tenant text NOT NULL, name text NOT NULL, current int,
    last_version int NOT NULL, failure bytea, changed_us bigint NOT NULL);
CREATE UNIQUE INDEX deployed_names ON functions (tenant, name) WHERE current IS NOT NULL;
CREATE TABLE versions (func_id text NOT NULL, version int NOT NULL, sha256 text NOT NULL, manifest text,
    description text NOT NULL, deployment text NOT NULL, created_us bigint NOT NULL, PRIMARY KEY (func_id, version));
CREATE TABLE types (type_id int PRIMARY KEY, tenant text NOT NULL, type text NOT NULL, func_id text NOT NULL,
    UNIQUE (tenant, type));
CREATE TABLE component (sha256 text NOT NULL, piece int NOT NULL, bytes bytea NOT NULL, stored timestamptz NOT NULL,
    PRIMARY KEY (sha256, piece));
ALTER TABLE component ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE audit (number bigint PRIMARY KEY, line bytea NOT NULL);
""",
    3: """
SET LOCAL search_path = holdfast;
CREATE TABLE tenants (tenant text PRIMARY KEY, limits text NOT NULL, created_us bigint NOT NULL);
""",
}

# Each in the order in which locks are taken.
TABLE_NAMES: Final = (
    "cluster", "document", "functions", "versions", "types", "tenants", "component", "audit",
    "host", "seat", "reached", "shard", "instance", "kv", "job", "receipt", "socket", "garbage",
)  # fmt: skip
