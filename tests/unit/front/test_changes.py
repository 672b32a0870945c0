"""Changes over HTTP, of an archive that is pruned, away, damaged, or read by a token for some types; and reverts."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest

from holdfast_host.core.tokens import Scope
from holdfast_host.storage.archive.frames import segment_files
from tests.harness.archives import ArchivedStore
from tests.unit.front.stage import Stage, request_bytes, staged, until
from tests.unit.front.test_tokens import known, made


@pytest.fixture
def archived(tmp_path: Path) -> ArchivedStore:
    """Three turns of alice, each in a segment of its own."""
    store = ArchivedStore.make(tmp_path)
    store.ship()
    for number in range(3):
        state = store.shipper._state
        assert state is not None
        state.types = {1: "Account", 2: "Other"}
        state.kept.end_segment()
        store.put(b"alice", k=b"%d" % number)
        store.ship()
    return store


async def lines_of(stage: Stage, query: str = "", **headers: str) -> list[dict[str, object]]:
    """As `GET /v1/changes` answers; without gaps."""
    answer = await stage.ask("GET", f"/v1/changes{query}", b"", **headers)
    assert answer.status == 200, answer.body
    lines = [json.loads(line) for line in answer.body.splitlines() if line]
    return [line for line in lines if "gap" not in line]


def test_now_has_a_position_to_go_on_from(archived: ArchivedStore) -> None:
    async def run() -> None:
        async with staged(archive=str(archived.root)) as stage:
            [now] = await lines_of(stage, "?after=now")
            assert list(now) == ["position"]
            assert await lines_of(stage, f"?after={now['position']}") == []
            archived.put(b"alice", k=b"7")
            archived.ship()
            [line] = await lines_of(stage, f"?after={now['position']}")
            assert line["put"] == {"k": 7}

    asyncio.run(run())


def test_a_position_that_is_gone_for_good_is_the_callers_error_and_an_archive_that_is_away_is_not(
    archived: ArchivedStore,
) -> None:
    async def run() -> None:
        async with staged(archive=str(archived.root)) as stage:
            far = await stage.ask("GET", "/v1/changes?after=999999.1&follow=true")
            segment_files(archived.root)[0].unlink()
            pruned = await stage.ask("GET", "/v1/changes?after=1.1&follow=true")
            archived.root.rename(archived.root.with_name("unmounted"))
            away = [await stage.ask("GET", f"/v1/changes?after={after}") for after in ("now", "3.1")]
        for refused, said in ((far, "is no position of it"), (pruned, "is not kept any more")):
            assert (refused.status, refused.error) == (400, "BadRequestError")
            assert said in refused.json["error"]["message"]
            assert not refused.json["error"]["retryable"]
        for refused in away:
            assert (refused.status, refused.error) == (503, "HostUnavailableError")
            assert "it is not there" in refused.json["error"]["message"]

    asyncio.run(run())


def test_what_is_damaged_behind_the_first_piece_ends_the_answer_unfinished(archived: ArchivedStore) -> None:
    async def run() -> bytes:
        async with staged(archive=str(archived.root)) as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            [now] = await lines_of(stage, "?after=now")
            writer.write(request_bytes("GET", f"/v1/changes?after={now['position']}&follow=true"))
            got = await reader.readuntil(b"\r\n\r\n")
            archived.put(b"alice", k=b"8")
            archived.ship()
            got += await reader.readuntil(b'"k":8}}\n\r\n')
            archived.put(b"alice", k=b"9")
            archived.ship()
            segment = segment_files(archived.root)[-1]
            segment.write_bytes(segment.read_bytes()[:-1] + b"?")
            got += await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return got

    got = asyncio.run(run())
    assert got.count(b"HTTP/1.1") == 1, "no other answer is in its body"
    assert not got.endswith(b"0\r\n\r\n")


def test_a_token_for_one_type_sees_no_line_of_another(archived: ArchivedStore) -> None:
    async def run() -> None:
        async with staged(archive=str(archived.root), tokens=known(*(each[1] for each in tokens.values()))) as stage:

            async def seen(name: str, query: str = "") -> int:
                return len(await lines_of(stage, query, authorization=f"Bearer {tokens[name][0]}"))

            assert await seen("all") == await seen("account") == 3
            assert await seen("other") == await seen("other", "?type=Account") == 0
            refused = await stage.ask("GET", "/v1/changes", authorization=f"Bearer {tokens['call'][0]}")
            assert refused.status == 403

    tokens = {
        "all": made(Scope.READ),
        "account": made(Scope.READ, "Account"),
        "other": made(Scope.READ, "Other"),
        "call": made(Scope.CALL, "Account"),
    }
    asyncio.run(run())


def test_nothing_is_left_of_what_was_read_for_a_caller_who_has_gone(tmp_path: Path) -> None:
    async def run() -> None:
        async with staged() as stage:
            body = b'{"at": 1800000000}'
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            with closing(writer):
                writer.write(request_bytes("POST", "/v1/instances/Account/alice/revert", body))
                reading = await stage.supervisor.next("request")
            assert (await stage.ask("GET", "/v1/changes")).status == 404
            (tmp_path / "instance").mkdir()
            (tmp_path / "instance" / "keys").write_bytes(b"")
            found = {"path": str(tmp_path / "instance" / "keys"), "at": "2027-01-15T08:00:00Z"}
            stage.supervisor.send("answer", id=reading["id"], result=found)
            await until(lambda: not (tmp_path / "instance").exists())

    asyncio.run(run())


@pytest.mark.parametrize(
    "at", ["9999-12-31T23:59:59-12:00", "9000-01-01T00:00:00Z", 1e11, -1, True, None, "x", "2027-01-01"]
)
def test_a_moment_that_is_none_is_refused_before_the_archive_is_read(at: object) -> None:
    async def run() -> None:
        async with staged() as stage:
            body = json.dumps({"at": at}).encode()
            refused = await stage.ask("POST", "/v1/instances/Account/alice/revert", body)
            assert (refused.status, refused.error) == (400, "BadRequestError")
            assert "write a date and time with an offset" in refused.json["error"]["message"]

    asyncio.run(run())
