"""Every command, with words to give it and what a host answers it; all that others wrote in it is evil."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.terminals import EVIL, LINE

METHOD = {"name": EVIL, "signature": EVIL, "doc": LINE}
TYPE = {"type": EVIL, "function": EVIL, "version": 1, "methods": [METHOD]}
FUNCTION = {
    "name": EVIL,
    "func_id": EVIL,
    "version": 1,
    "versions": [{"version": 1, "created_at": EVIL, "sha256": EVIL}],
    "status": "failed",
    "reason": EVIL,
    "actors": [{"type": EVIL, "owner": True}, {"type": EVIL, "owner": False}],
    "url": EVIL,
}
ALARM = {
    "due": EVIL,
    "state": EVIL,
    "type": EVIL,
    "type_id": 1,
    "name": EVIL,
    "retry_count": 1,
    "last_error": EVIL,
}
SOCKET = {"id": EVIL, "kind": EVIL, "opened_at": EVIL, "tags": [EVIL]}
JOB_TEXTS = ("id", "kind", "state", "due", "key", "cron", "tz", "method", "to", "then", "last_error", "type", "name")
JOB = {**dict.fromkeys(JOB_TEXTS, EVIL), "tries": 2, "unknown": True, "type_id": 1}
INSTANCE = {
    "active": True,
    "queued": 0,
    "quarantined": True,
    "version": 1,
    "alarm": ALARM,
    "keys": 2,
    "bytes": 9,
    "entries": [{"key": EVIL, "value": {EVIL: EVIL * 20}}, {"key": EVIL, "raw": EVIL}],
    "next": EVIL,
}
ENTRY = {
    "number": 2, "at": "2026-11-30T12:00:00Z", "event": "ended", "begun": 1, "token": EVIL, "name": EVIL, "what": EVIL,
    "object": EVIL, "client": EVIL, "status": 404, "error": EVIL,
}  # fmt: skip
CHANGE = {
    "position": EVIL, "at": EVIL, "type": EVIL, "name": EVIL, "cleared": True, "put": {EVIL: EVIL}, "deleted": [EVIL],
    "alarm": EVIL,
}  # fmt: skip
TOKEN = {
    "id": EVIL, "name": EVIL, "scope": EVIL, "types": [EVIL], "expires_at": EVIL, "expired": True, "last_used_at": EVIL,
    "tenant": EVIL,
}  # fmt: skip
TENANT = {"name": EVIL, "created_at": EVIL, "limits": {EVIL: 1}, "stored": {"instances": 1, "bytes": 2}}
SECRET = {"name": EVIL, "updated_at": EVIL, "functions": [EVIL]}
LOG_LINE = {"time": 1.0, "level": "error", "type": EVIL, "name": EVIL, "message": EVIL, "backtrace": EVIL}
HOST = {
    "host": EVIL, "name": EVIL, "url": EVIL, "state": EVIL, "release": EVIL, "workers": 1, "shards": 256,
    "beat_age_s": 1.5, "is_this": True,
}  # fmt: skip
WHOSE = {"type": EVIL, "name": EVIL, "function": EVIL}
WORKER = {
    "worker": 1, "pid": 1, "state": EVIL, "age_s": 1, "heartbeat_s": 1, "deaths": 1, "commit_stalled": True,
    "shortage": EVIL, "activity": None, "noted": [WHOSE, {**WHOSE, "type": None}], "noted_total": 3,
}  # fmt: skip
ACTIVITY = {
    "turns": [
        {**WHOSE, "method": EVIL, "age_s": 1, "state": EVIL, "waits_for": EVIL, "called_by": EVIL, "stands": EVIL}
    ],
    "turns_total": 1, "queues": [{**WHOSE, "turns": 1, "oldest_s": 1}], "queues_total": 1, "waiting_turns": 1,
    "groups": [{"group": 1, "turns": 1, "held": 1, "age_s": 1}], "detached": 1, "activations": 1,
    "compute": {"slots": 1, "waiting": 1}, "alarms": {"under_way": 1, "aside": 1, "in_line": 1},
    "jobs": {"under_way": 1, "aside": 1, "in_line": 1},
    "functions": [{"function": EVIL, "sandboxes": 1, "busy": 1, "waiting": 1}], "functions_total": 1,
}  # fmt: skip
EXPORT_END = {"end": {"keys": 1, "bytes": 1}}
IMPORTED = {"type": EVIL, "name": EVIL, "keys": 1, "alarm": True, "jobs": 1, "jobs_left_out": 1}
ONE = [EVIL, EVIL]
DEPLOYED = ({"stage": EVIL}, {**FUNCTION, "status": 201})

# What each command is given after its own words, and what the host answers it: lines, where it is several. None: it
# asks no host.
WALK: dict[str, list[tuple[list[str], Any]]] = {
    "actors": [([], {"actors": [TYPE]})],
    "call": [([*ONE, EVIL, f"key={EVIL}"], {EVIL: [EVIL]}), ([*ONE, EVIL, EVIL], None)],
    "list": [([], {"functions": [FUNCTION]}), ([EVIL], FUNCTION)],
    "undeployed": [([], {"actors": [{"type": EVIL, "function": EVIL, "func_id": EVIL}]})],
    "quarantined": [
        (
            [],
            {
                "quarantined": [
                    {"died_at": EVIL, "function": EVIL, "version": 1, "what": what, "type": EVIL, "name": EVIL}
                    for what in ("handler", "version", EVIL)
                ],
                "cursor": None,
            },
        )
    ],
    "hosts": [([], {"store": EVIL, "hosts": [HOST, {**HOST, "host": None, "beat_age_s": None}]})],
    "top": [([], {"workers": [WORKER, {**WORKER, "activity": ACTIVITY}]})],
    "release": [(ONE, {"released": True}), ([EVIL], {"released": False})],
    "instances": [([EVIL, "--prefix", EVIL], {"instances": [{"bytes": 1, "name": EVIL}], "cursor": None})],
    "inspect": [([*ONE, "--start", EVIL], INSTANCE)],
    "storage get": [([*ONE, EVIL], {EVIL: EVIL})],
    "storage put": [([*ONE, EVIL, EVIL], {"key": EVIL})],
    "storage delete": [([*ONE, EVIL], {"deleted": True}), ([*ONE, EVIL], {"deleted": False})],
    "sockets": [
        (ONE, {"sockets": [{**SOCKET, "attachment": EVIL}, {**SOCKET, "tags": []}], "cursor": None}),
        ([*ONE, "--close", EVIL], {"closed": EVIL}),
    ],
    "export": [
        (ONE, ({"holdfast_export": 1, "name": EVIL}, {"key": EVIL, "value": {EVIL: EVIL}}, EXPORT_END)),
        ([EVIL], ({"name": EVIL, "key": EVIL, "raw": EVIL}, EXPORT_END)),
        ([EVIL, "--format", "parquet"], None),
    ],
    "import": [([*ONE, "{component}"], IMPORTED), ([*ONE, EVIL], None)],
    "clone": [([*ONE, EVIL], {**IMPORTED, "jobs_left_out": 0})],
    "alarm list": [([], {"alarms": [ALARM, {**ALARM, "type": None}], "cursor": None})],
    "alarm set": [([*ONE, EVIL], ALARM)],
    "alarm clear": [(ONE, {"deleted": True})],
    "job list": [
        ([], {"jobs": [JOB, {**JOB, "type": None}], "cursor": None}),
        (["--of", *ONE], {"jobs": [JOB], "cursor": None}),
    ],
    "job show": [([*ONE, EVIL], {**JOB, "payload": {EVIL: EVIL}, "outcome": {EVIL: 1}})],
    "job retry": [([*ONE, EVIL], {"id": EVIL, "state": EVIL})],
    "job cancel": [([*ONE, EVIL], {"deleted": True})],
    "evict": [(ONE, {"evicted": True})],
    "revert": [([*ONE, "--at", "10m"], {"at": EVIL, "put": 1, "deleted": 1, "keys": 1})],
    "erase": [([*ONE, "--yes"], {"deleted": True}), (ONE, None)],
    "logs": [([], LOG_LINE), (["--name", EVIL], {"time": 1.0, "function": EVIL, "message": EVIL})],
    "rollback": [
        ([EVIL], FUNCTION),
        ([EVIL, "--preview"], {"version": 1, "breaks": [EVIL], "refused": None}),
        ([EVIL, "--preview"], {"version": 1, "breaks": [], "refused": EVIL}),
    ],
    "delete": [([EVIL], FUNCTION)],
    "secret set": [([EVIL], SECRET)],
    "secret list": [([], {"secrets": [SECRET]})],
    "secret delete": [([EVIL], SECRET)],
    "audit": [([], ENTRY), (["--json"], ENTRY)],
    "changes": [([], CHANGE), (["--json"], CHANGE)],
    "tenant create": [([EVIL], TENANT)],
    "tenant limit": [([EVIL, "--instances", "5"], TENANT), ([EVIL, "--bytes", EVIL], None)],
    "tenant list": [([], {"tenants": [TENANT, {**TENANT, "created_at": None}]})],
    "tenant delete": [([EVIL], TENANT)],
    "token create": [(["--scope", "call", "--type", EVIL, "--name", EVIL], {**TOKEN, "token": EVIL})],
    "token list": [([], {"tokens": [TOKEN]})],
    "token rotate": [([EVIL], {**TOKEN, "token": EVIL})],
    "token revoke": [([EVIL], TOKEN)],
    "auth set": [(["--token-file", EVIL], None)],
    "auth status": [([], TOKEN)],
    "auth forget": [([], None)],
    "deploy": [
        (["--component", "{component}"], DEPLOYED),
        (["--component", EVIL], None),
        (["{project}", "--env", EVIL], None),
    ],
    "types": [(["{project}"], {"actors": [{**TYPE, "type": "Other"}]}), (["--client", EVIL], None)],
    "build": [([EVIL], None), (["{project}"], None)],
    "new": [([EVIL], None)],
    "serve": [(["--listen", EVIL], None), (["--limit", EVIL], None), (["--data", "{component}" + EVIL], None)],
    "backup": [([EVIL], None), (["{project}"], None)],
    "restore": [([EVIL, EVIL], None), (["{project}/holdfast.toml", EVIL], None)],
    "doctor": [(["--data", "{project}"], None), (["--data", EVIL], None), (["--host", EVIL], None)],
    "tune": [(["--data", EVIL], None), (["--seconds", EVIL], None), (["--processes", "1"], None)],
    "store init": [(["--store", EVIL], None), (["--store", f"postgresql://127.0.0.1:1/{EVIL}"], None)],
    "store copy": [(["--from", EVIL, "--store", EVIL], None), (["--from", "{project}", "--store", EVIL], None)],
    "store upgrade": [(["--store", EVIL], None), (["--store", "postgresql://127.0.0.1:1/x"], None)],
    "store check": [(["--store", EVIL], None), (["--store", "postgresql://127.0.0.1:1/x"], None)],
    "verify": [([EVIL], None), (["{project}"], None)],
    "dev": [(["{project}", "--listen", EVIL], None), ([EVIL], None), (["{project}", "--env", EVIL], None)],
}
CASES = [(command, *case) for command in WALK for case in WALK[command]]


def body_of(answer: Any) -> bytes:
    """What a host sends for an answer, or for several, which are lines."""
    return "\n".join(map(json.dumps, answer if isinstance(answer, tuple) else (answer,))).encode()
