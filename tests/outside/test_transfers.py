"""Instances that are exported, imported and cloned, over a real host, by the API and by commands."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.harness.caller import Answer, Caller
from tests.harness.commands import run, run_any
from tests.harness.components import PROJECT
from tests.harness.fixtures import StartHost

HEAD = '{"holdfast_export":1,"type":"Probe","name":"x","at":"2026-11-30T00:00:00Z"}'
SPACED = '{ "key": "a", "value": [1, 2] }'
TYPED = {
    "bytes": {"$hf": "bytes", "v": "AAE="},
    "when": {"$hf": "datetime", "v": "2026-11-01T12:30:00+00:00"},
    "price": {"$hf": "decimal", "v": "1.50"},
    "text": "line\nbreak \u2028 \u00e9",
    "own": {"$hf": "dict", "v": [["$hf", 1]]},
}


def lines_of(caller: Caller, path: str) -> list[Any]:
    answer = caller.request("GET", path)
    assert answer.status == 200, answer
    return [json.loads(line) for line in answer.text.split("\n") if line]


def bring(caller: Caller, name: str, *lines: str, query: str = "") -> Answer:
    return caller.request("POST", f"/v1/instances/Probe/{name}/import{query}", "\n".join(lines).encode())


def storage(caller: Caller, name: str) -> Any:
    path = f"/v1/instances/Probe/{name}/storage"
    return caller.request("GET", path, headers={"Accept": "application/vnd.holdfast+json"}).value["entries"]


def put_typed(caller: Caller, name: str, value: Any) -> None:
    for key, each in value.items():
        path = f"/v1/instances/Probe/{name}/storage/{key}"
        body = json.dumps(each).encode()
        assert caller.request("PUT", path, body, {"Content-Type": "application/vnd.holdfast+json"}).status == 200


def test_an_instance_that_is_exported_and_imported_under_another_name_has_the_same_values_and_alarm(
    probe_host: StartHost, tmp_path: Path
) -> None:
    host = probe_host(workers=2)
    with host.caller() as caller:
        put_typed(caller, "alice", TYPED)
        caller.request("PUT", "/v1/instances/Probe/alice/alarm", b'{"due":"2036-01-01T00:00:00Z"}')
        exported = lines_of(caller, "/v1/instances/Probe/alice/export")

        assert exported[0] | {"at": ""} == {"holdfast_export": 1, "type": "Probe", "name": "alice", "at": ""}
        assert {each["key"]: each["value"] for each in exported if "key" in each} == TYPED
        assert [each["alarm"]["due"] for each in exported if "alarm" in each] == ["2036-01-01T00:00:00.000000Z"]
        assert exported[-1]["end"]["keys"] == len(TYPED)
        file = tmp_path / "alice.ndjson"
        assert run(host, "export", "Probe", "alice", "--output", str(file)) == f"{file}: 5 keys\n"
        assert run(host, "import", "Probe", "bob", str(file)) == "Probe/bob has 5 keys, its alarm.\n"
        assert run(host, "clone", "Probe", "bob", "a/b") == "Probe/a/b has 5 keys, its alarm.\n"
        for name in ("bob", "a%2Fb"):
            assert storage(caller, name) == storage(caller, "alice")
            alarm = caller.request("GET", f"/v1/instances/Probe/{name}/alarm").value
            assert alarm == caller.request("GET", "/v1/instances/Probe/alice/alarm").value
        for line in file.read_bytes().splitlines():
            json.loads(line) if line.startswith(b'{"') else None
        assert [json.loads(line) for line in run(host, "export", "Probe", "alice").splitlines()][1:] == exported[1:]


def test_an_import_takes_the_place_of_what_is_there_only_where_that_is_said(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        caller.value("Probe", "x", "put", "old", 1)
        caller.value("Probe", "x", "remember_and_put", "more", 1)
        keyed = {"Idempotency-Key": "k"}
        assert caller.request("POST", "/v1/actors/Probe/x/increment", b"[]", keyed).value == 1

        refused = bring(caller, "x", HEAD, '{"key":"a","value":1}', '{"end":{"keys":1}}')
        assert (refused.status, refused.error) == (409, "InstanceExistsError")
        answer = bring(
            caller, "x", HEAD, '{ "key": "a", "value": [1, 2] }', '{"end":{"keys":1}}', query="?replace=true"
        )

        assert answer.value == {
            "type": "Probe", "name": "x", "keys": 1, "bytes": 7, "alarm": False, "jobs": 0, "jobs_left_out": 0
        }  # fmt: skip
        assert caller.value("Probe", "x", "everything") == {"a": [1, 2]}
        assert caller.value("Probe", "x", "remembered", "more") == {"memory": None, "storage": None}
        again = caller.request("POST", "/v1/actors/Probe/x/increment", b"[]", keyed)
        assert again.value == 1, "answers that were kept go with what they were about"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "it begins with a line"),
        (['{"key":"a","value":1}'], "line 1 of the import comes before the first one"),
        (['{"holdfast_export":2,"type":"Probe"}'], "has format 2, this release reads format 1"),
        (['{"holdfast_export":1,"type":"Other"}'], "of the type 'Other', not 'Probe'"),
        ([HEAD, '{"key":"a","value":1}'], "its last line, the end, is missing"),
        ([HEAD, '{"key":"a","value":1}', '{"end":{"keys":2}}'], "has 1 keys, its end says 2"),
        ([HEAD, '{"key":"a","value":1}', '{"key":"a","value":2}', '{"end":{"keys":2}}'], "came twice"),
        ([HEAD, '{"key":"a","value":{"$hf":"no","v":1}}'], "line 2 of the import cannot be read"),
        ([HEAD, '{"key":"a","value":' + "[" * 101 + "]" * 101 + "}"], "nested deeper than 100"),
        ([HEAD, '{"key":"","value":1}'], "a key of 0 bytes"),
        ([HEAD, '{"key":"\\ud800","value":1}'], "a lone surrogate"),
        ([HEAD, '{"key":"__holdfast_x","value":1}'], "is reserved"),
        ([HEAD, '{"key":"a","value":1'], "no JSON object with a key and a value"),
        ([HEAD, "[1]"], "line 2 of the import is no JSON object"),
        ([HEAD, '{"alarm":{"due":"x"}}'], "line 2 of the import is no alarm"),
        ([HEAD, '{"job":{"kind":"run"}}'], "line 2 of the import is no job"),
        ([HEAD, '{"wrong":{}}'], "is none of an export"),
        ([HEAD, '{"error":{"name":"HostUnavailableError"}}'], "why the export broke off"),
        ([HEAD, '{"end":{"keys":0}}', '{"end":{"keys":0}}'], "comes after the end"),
    ],
)
def test_what_is_no_whole_export_changes_nothing_and_is_named(
    probe_host: StartHost, lines: list[str], said: str
) -> None:
    with probe_host().caller() as caller:
        caller.value("Probe", "there", "put", "k", 1)

        answer = bring(caller, "there", *lines, query="?replace=true")

        assert answer.status == 400, answer
        assert said in answer.value["error"]["message"]
        assert caller.value("Probe", "there", "everything") == {"k": 1}


@pytest.mark.slow
def test_an_import_larger_than_any_turn_is_one_turn_for_whoever_looks(probe_host: StartHost, tmp_path: Path) -> None:
    host = probe_host(workers=2)
    keys = 25_000  # a turn writes 10,000
    file = tmp_path / "large.ndjson"
    with file.open("w") as out:
        out.write(HEAD + "\n")
        out.writelines(f'{{"key":"k{number:06}","value":"{"x" * 40}"}}\n' for number in range(keys))
        out.write(f'{{"end":{{"keys":{keys}}}}}\n')
    seen: set[int] = set()
    stop = threading.Event()

    def look() -> None:
        with host.caller() as looking:
            while not stop.is_set():
                path = "/v1/instances/Probe/large?count=true"
                seen.add(looking.request("GET", path).value["keys"])
                seen.add(len(looking.value("Probe", "large", "page", limit=1)))

    with host.caller() as caller:
        caller.value("Probe", "large", "put", "k", 1)
        thread = threading.Thread(target=look)
        thread.start()
        said = run(host, "import", "Probe", "large", str(file), "--replace")
        stop.set()
        thread.join()

        assert said == "Probe/large has 25,000 keys.\n"
        assert seen <= {1, keys}
        assert caller.request("GET", "/v1/instances/Probe/large?count=true").value["keys"] == keys
        run(host, "clone", "Probe", "large", "copy")
        assert caller.request("GET", "/v1/instances/Probe/copy?count=true").value["keys"] == keys
        exported = run(host, "export", "Probe", "copy").splitlines()
        assert exported[1:-1] == file.read_text().splitlines()[1:-1]


def test_an_export_is_of_one_moment_whatever_is_written_meanwhile(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller, host.caller() as writing:
        for first in range(0, 40, 10):
            caller.value("Probe", "busy", "put_many", {f"k{n:02}": "a" * 60_000 for n in range(first, first + 10)})
        answers: list[list[Any]] = []
        reading = threading.Thread(target=lambda: answers.append(lines_of(caller, "/v1/instances/Probe/busy/export")))
        reading.start()
        rounds = 0
        while reading.is_alive():
            for first in range(0, 40, 10):
                writing.value("Probe", "busy", "put_many", {f"k{n:02}": f"{rounds}" for n in range(first, first + 10)})
            rounds += 1
        reading.join()

        values = [each["value"] for each in answers[0] if "key" in each]
        assert len(values) == 40
        changed = [n for n, value in enumerate(values) if value != values[0]]
        assert not changed or (changed[0] % 10 == 0 and changed == list(range(changed[0], 40)))


def test_what_is_not_there_cannot_be_exported_or_cloned(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        for method, path, body in (("GET", "nobody/export", b""), ("POST", "nobody/clone", b'{"name":"b"}')):
            answer = caller.request(method, f"/v1/instances/Probe/{path}", body)
            assert (answer.status, answer.error) == (404, "UnknownInstanceError")
        caller.value("Probe", "a", "put", "k", 1)
        for body in (b"{}", b'{"name":"a"}', b'{"name":1}', b'{"name":"b","replace":1}', b'{"name":"b","x":1}'):
            assert caller.request("POST", "/v1/instances/Probe/a/clone", body).status == 400, body
        answer = caller.request("POST", "/v1/instances/Probe/a/clone", b'{"name":"\\ud800"}')
        assert (answer.status, answer.error) == (400, "InvalidNameError")
    assert run_any(host, "export", "Probe", "nobody").stderr.startswith("UnknownInstanceError: ")
    unread = run_any(host, "import", "Probe", "b", "/nowhere").stderr
    assert unread == "/nowhere cannot be read: No such file or directory.\n"


def test_a_type_is_exported_with_all_its_instances_over_all_workers(probe_host: StartHost, tmp_path: Path) -> None:
    host = probe_host(workers=2)
    names = [f"eu/{number:03}" for number in range(30)]
    with host.caller() as caller:
        for number, name in enumerate(names):
            caller.value("Probe", name, "put", "n", number)
        put_typed(caller, "us", TYPED)

        exported = lines_of(caller, "/v1/export/Probe")
        assert {each["name"]: each["value"] for each in exported if each.get("key") == "n"} == {
            name: number for number, name in enumerate(names)
        }
        plain = {each["key"]: each["value"] for each in exported if each.get("name") == "us"}
        assert plain["when"] == "2026-11-01T12:30:00Z" or plain["when"].startswith("2026-11-01T12:30:00")
        assert exported[-1]["end"] | {"bytes": 0} == {"instances": 31, "keys": 30 + len(TYPED), "bytes": 0}
        assert lines_of(caller, "/v1/export/Probe?prefix=eu/")[-1]["end"]["instances"] == 30
        assert lines_of(caller, "/v1/export/Probe?prefix=none") == [{"end": {"instances": 0, "keys": 0, "bytes": 0}}]
    rows = [json.loads(line) for line in run(host, "export", "Probe", "--prefix", "eu/").splitlines()]
    assert sorted(row["name"] for row in rows) == names
    assert run_any(host, "export", "Probe", "--format", "parquet").returncode == 2


def test_the_top_ten_of_a_type_come_out_of_duckdb_as_the_page_has_it(
    probe_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = probe_host(workers=2)
    balances = {f"a{number:02}": number * 7 % 31 for number in range(30)}
    with host.caller() as caller:
        for name, balance in balances.items():
            caller.value("Probe", name, "put_many", {"balance": balance, "home": {"city": f"c{balance}"}})
        path = "/v1/instances/Probe/a00/storage/none"
        assert caller.request("PUT", path, b"null").status == 200
    file = tmp_path / "accounts.parquet"
    said = run(host, "export", "Probe", "--format", "parquet", "--output", str(file))
    monkeypatch.chdir(tmp_path)
    page = (PROJECT / "docs" / "export.md").read_text()
    (query,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)

    connection = duckdb.connect()
    found = connection.execute(query).fetchall()

    top = sorted(balances.items(), key=lambda each: (-each[1], each[0]))[:10]
    assert found == top
    assert said == f"{file}: 61 keys\n"
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    asked = "SELECT value->>'$.city' FROM 'accounts.parquet' WHERE name = 'a01' AND key = 'home'"
    assert connection.execute(asked).fetchall() == [("c7",)]
    assert connection.execute("SELECT value, raw FROM 'accounts.parquet' WHERE key = 'none'").fetchall() == [
        ("null", None)
    ]
