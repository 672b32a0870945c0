"""The statements of a worker, prepared once a connection.

`COMMIT` and `COMMIT_ALL` are a group in one statement: nothing of it is written unless its `fence` is found, the
owner's seat at the owner's life, which it locks. A statement that waits behind whoever gives the seat another life
finds none afterwards. The server begins nothing before the whole message is there, so that a paused worker holds no
lock. `mine` checks our own book-keeping: each shard is still in the epoch under which its instances were loaded.

No statement touches a row twice: whoever makes the arrays has merged the group.
"""

from __future__ import annotations

from typing import Final

_FENCE: Final = """WITH mine AS (SELECT count(*) AS n FROM unnest($5::int[], $6::bigint[]) AS u(s, e)
    JOIN shard ON shard.shard = u.s AND shard.epoch = u.e AND shard.seat = $1::bigint),
fence AS (SELECT 1 FROM seat, mine WHERE seat.seat = $1::bigint AND seat.life = $2::bigint
    AND mine.n = cardinality($5::int[]) FOR NO KEY UPDATE OF seat),
mark AS (INSERT INTO reached SELECT $1::bigint, $3::bigint FROM fence ON CONFLICT DO NOTHING),
unmark AS (DELETE FROM reached USING fence WHERE reached.seat = $1::bigint AND reached.grp = $4::bigint),
rows AS (INSERT INTO instance SELECT u.* FROM fence, unnest($7::bigint[], $8::int[], $9::int[], $10::bytea[],
        $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::int[],
        $18::int[], $19::int[], $20::bytea[], $21::bytea[]) AS u
    ON CONFLICT (number) DO UPDATE SET data = excluded.data, apart = excluded.apart, live_bytes = excluded.live_bytes,
        apart_bytes = excluded.apart_bytes, due_us = excluded.due_us, scheduled_us = excluded.scheduled_us,
        retries = excluded.retries, state = excluded.state, marks = excluded.marks, last_error = excluded.last_error,
        trace = excluded.trace),
puts AS (INSERT INTO kv SELECT u.* FROM fence, unnest($22::bigint[], $23::bytea[], $24::bytea[]) AS u
    ON CONFLICT (data, k) DO UPDATE SET v = excluded.v),
dels AS (DELETE FROM kv USING fence, unnest($25::bigint[], $26::bytea[]) AS u(data, k)
    WHERE kv.data = u.data AND kv.k = u.k),
gone AS (DELETE FROM instance USING fence, unnest($27::bigint[]) AS u(number) WHERE instance.number = u.number),
left_over AS (INSERT INTO garbage SELECT u.* FROM fence, unnest($28::bigint[], $29::int[], $30::int[]) AS u)"""

_APART: Final = """,
jobs AS (INSERT INTO job SELECT u.* FROM fence, unnest($31::bigint[], $32::bytea[], $33::bigint[], $34::int[],
        $35::int[], $36::int[], $37::bigint[], $38::bytea[]) AS u
    ON CONFLICT (apart, id) DO UPDATE SET pool = excluded.pool, state = excluded.state, due_us = excluded.due_us,
        job = excluded.job),
jobs_gone AS (DELETE FROM job USING fence, unnest($39::bigint[], $40::bytea[]) AS u(apart, id)
    WHERE job.apart = u.apart AND job.id = u.id),
receipts AS (INSERT INTO receipt SELECT u.* FROM fence, unnest($41::bigint[], $42::bytea[], $43::bigint[], $44::int[],
        $45::bigint[], $46::bytea[]) AS u
    ON CONFLICT (apart, hash) DO UPDATE SET expires_s = excluded.expires_s, receipt = excluded.receipt),
sockets AS (INSERT INTO socket SELECT u.* FROM fence, unnest($47::bigint[], $48::bigint[], $49::bigint[], $50::int[],
        $51::bytea[]) AS u
    ON CONFLICT (apart, socket) DO UPDATE SET socket_row = excluded.socket_row),
sockets_gone AS (DELETE FROM socket USING fence, unnest($52::bigint[], $53::bigint[]) AS u(apart, socket)
    WHERE socket.apart = u.apart AND socket.socket = u.socket)"""

_FOUND: Final = "SELECT (SELECT count(*) FROM fence), (SELECT catalog FROM cluster WHERE one)"

COMMIT: Final = f"{_FENCE}\n{_FOUND}"
COMMIT_ALL: Final = f"{_FENCE}{_APART}\n{_FOUND}"

# Proof that the seat still was ours after a read.
CONFIRM: Final = """WITH fence AS (SELECT 1 FROM seat WHERE seat.seat = $1::bigint AND seat.life = $2::bigint
    FOR NO KEY UPDATE) SELECT (SELECT count(*) FROM fence), (SELECT catalog FROM cluster WHERE one)"""

# What the seat owns; and shards that it gives to another seat of a host that lives, where no socket is open in them.
# Whoever gives a seat another life holds its row: the fence finds none behind that.
OWNED: Final = """SELECT shard.shard, shard.epoch, shard.grp FROM shard JOIN seat ON seat.seat = shard.seat
    WHERE seat.seat = $1::bigint AND seat.life = $2::bigint"""
GIVE: Final = """WITH target AS (SELECT seat.seat FROM seat JOIN host ON host.host = seat.host
        WHERE seat.host = convert_from($4::bytea, 'UTF8') AND seat.worker = $5::bigint AND host.state = 'up'
        FOR KEY SHARE OF host SKIP LOCKED),
    fence AS (SELECT target.seat FROM seat, target WHERE seat.seat = $1::bigint AND seat.life = $2::bigint
        FOR NO KEY UPDATE OF seat)
    UPDATE shard SET seat = fence.seat, epoch = shard.epoch + 1, grp = greatest(shard.grp, $3::bigint) FROM fence
    WHERE shard.shard = ANY($6::int[]) AND shard.seat = $1::bigint
        AND NOT EXISTS (SELECT FROM socket WHERE socket.shard = shard.shard)
    RETURNING shard.shard"""

# Behind each commit: emptied names wake all that wait for a standby without a word.
NAMES: Final = "SELECT current_setting('synchronous_standby_names')"

# Instances, each with its place among those that were asked for; then what stands under their numbers.
LOAD: Final = """SELECT u.at, i.number, i.data, i.apart, i.live_bytes, i.apart_bytes, i.due_us, i.scheduled_us,
    i.retries, i.state, i.marks, i.last_error, i.trace
    FROM unnest($1::int[], $2::bytea[]) WITH ORDINALITY AS u(type_id, name, at)
    JOIN instance AS i ON i.type_id = u.type_id AND i.name = u.name"""
LOAD_ROWS: Final = """WITH i AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[])
        WITH ORDINALITY AS u(data, apart, at))
    SELECT i.at, 0, 0::bigint, kv.k, kv.v FROM i JOIN kv ON kv.data = i.data
    UNION ALL SELECT i.at, 1, 0, job.id, job.job FROM i JOIN job ON job.apart = i.apart
    UNION ALL SELECT i.at, 2, socket.socket, ''::bytea, socket.socket_row FROM i
        JOIN socket ON socket.apart = i.apart"""
RECEIPT: Final = "SELECT receipt FROM receipt WHERE apart = $1::bigint AND hash = $2::bytea"

DUE_ALARMS: Final = """SELECT i.due_us, i.type_id, i.name FROM unnest($1::int[]) AS s(shard), LATERAL (SELECT due_us,
        type_id, name FROM instance WHERE shard = s.shard AND state BETWEEN 0 AND 1 AND due_us < $2::bigint
        ORDER BY due_us LIMIT $3::bigint) AS i
    ORDER BY i.due_us LIMIT $3::bigint"""
ALARMS: Final = """SELECT due_us, number, type_id, name, scheduled_us, retries, state, marks, last_error, trace
    FROM instance WHERE state >= 0 AND state = $1::bigint AND (due_us, number) > ($2::bigint, $3::bigint)
        AND shard = ANY($4::int[]) ORDER BY due_us, number LIMIT $5::bigint"""
INSTANCES: Final = """SELECT name, live_bytes FROM instance WHERE type_id = $1::bigint AND name > $2::bytea
    AND name >= $3::bytea AND ($4::bytea = '' OR name < $4::bytea) AND shard = ANY($5::int[])
    ORDER BY name LIMIT $6::bigint"""

DUE_JOBS: Final = """SELECT j.due_us, j.apart, j.id, i.type_id, i.name FROM unnest($1::int[]) AS s(shard), LATERAL (
        SELECT due_us, apart, id, owner FROM job WHERE shard = s.shard AND pool = $2::bigint AND state <= 2
        AND (due_us, apart, id) > ($3::bigint, $4::bigint, $5::bytea) AND due_us < $6::bigint
        ORDER BY due_us, apart, id LIMIT $7::bigint) AS j
    JOIN instance AS i ON i.number = j.owner AND i.apart = j.apart
    ORDER BY 1, 2, 3 LIMIT $7::bigint"""
JOBS: Final = """SELECT j.apart, j.id, i.type_id, i.name, j.job FROM job AS j
    JOIN instance AS i ON i.number = j.owner AND i.apart = j.apart
    WHERE j.state = $1::bigint AND (j.apart, j.id) > ($2::bigint, $3::bytea) AND j.shard = ANY($4::int[])
    ORDER BY j.apart, j.id LIMIT $5::bigint"""
SOCKETS: Final = """SELECT s.apart, s.socket, i.type_id, i.name, s.socket_row FROM socket AS s
    JOIN instance AS i ON i.number = s.owner AND i.apart = s.apart
    WHERE (s.apart, s.socket) > ($1::bigint, $2::bigint) AND s.shard = ANY($3::int[])
    ORDER BY s.apart, s.socket LIMIT $4::bigint"""

NUMBERS: Final = "SELECT nextval('numbers')"

# Sweeping. Nobody reads garbage, and its numbers are never used again: that needs no fence.
GARBAGE: Final = "SELECT number, is_apart FROM garbage WHERE shard = ANY($1::int[]) LIMIT 1"
SWEEP: Final = """WITH keys AS (DELETE FROM kv WHERE $2::bigint = 0 AND data = $1::bigint
        AND k IN (SELECT k FROM kv WHERE $2::bigint = 0 AND data = $1::bigint LIMIT $3::bigint) RETURNING 1),
    jobs AS (DELETE FROM job WHERE $2::bigint = 1 AND apart = $1::bigint
        AND id IN (SELECT id FROM job WHERE $2::bigint = 1 AND apart = $1::bigint LIMIT $3::bigint) RETURNING 1),
    receipts AS (DELETE FROM receipt WHERE $2::bigint = 1 AND apart = $1::bigint
        AND hash IN (SELECT hash FROM receipt WHERE $2::bigint = 1 AND apart = $1::bigint LIMIT $3::bigint)
        RETURNING 1),
    sockets AS (DELETE FROM socket WHERE $2::bigint = 1 AND apart = $1::bigint
        AND socket IN (SELECT socket FROM socket WHERE $2::bigint = 1 AND apart = $1::bigint LIMIT $3::bigint)
        RETURNING 1)
    SELECT greatest((SELECT count(*) FROM keys), (SELECT count(*) FROM jobs), (SELECT count(*) FROM receipts),
        (SELECT count(*) FROM sockets))"""
SWEPT: Final = "DELETE FROM garbage WHERE number = $1::bigint AND is_apart = $2::bigint"
# Expired receipts count as their instance's bytes: that is its owner's to write. Their life is the server's clock's.
EXPIRE: Final = """WITH fence AS (SELECT 1 FROM seat WHERE seat.seat = $1::bigint AND seat.life = $2::bigint
        FOR NO KEY UPDATE),
    old AS (SELECT r.apart, r.hash, r.owner, length(r.receipt) + 16 AS bytes FROM fence, receipt AS r
        WHERE r.shard = ANY($3::int[]) AND r.expires_s < extract(epoch FROM clock_timestamp()) LIMIT $4::bigint),
    gone AS (DELETE FROM receipt USING old WHERE receipt.apart = old.apart AND receipt.hash = old.hash),
    owners AS (SELECT owner, apart, sum(bytes) AS bytes FROM old GROUP BY owner, apart),
    emptied AS (DELETE FROM instance USING owners WHERE instance.number = owners.owner
        AND instance.apart = owners.apart AND instance.live_bytes = 0 AND instance.state < 0
        AND instance.apart_bytes <= owners.bytes),
    lighter AS (UPDATE instance SET apart_bytes = instance.apart_bytes - owners.bytes FROM owners
        WHERE instance.number = owners.owner AND instance.apart = owners.apart
        AND NOT (instance.live_bytes = 0 AND instance.state < 0 AND instance.apart_bytes <= owners.bytes))
    SELECT o.apart, o.bytes::bigint, i.type_id, i.name FROM owners AS o
    JOIN instance AS i ON i.number = o.owner AND i.apart = o.apart"""

PREPARED: Final[dict[str, str]] = {
    "commit": COMMIT, "commit_all": COMMIT_ALL, "confirm": CONFIRM, "names": NAMES, "load": LOAD,
    "load_rows": LOAD_ROWS, "receipt": RECEIPT, "due_alarms": DUE_ALARMS, "alarms": ALARMS, "instances": INSTANCES,
    "due_jobs": DUE_JOBS, "jobs": JOBS, "sockets": SOCKETS, "numbers": NUMBERS, "garbage": GARBAGE, "sweep": SWEEP,
    "swept": SWEPT, "expire": EXPIRE, "owned": OWNED, "give": GIVE,
}  # fmt: skip
