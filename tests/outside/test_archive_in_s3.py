"""A host whose archive is in a bucket: shipped, brought back, killed, and a service that goes away."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast_host.cli.main import group
from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.archive import roots
from tests.crash.test_archive import Counting, counts_in
from tests.harness.archives import now_us, until_reached
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST
from tests.harness.s3 import S3Bucket

HELD_UP_S = 15.0  # less than a host waits for an answer of S3, and far more than a busy machine takes for a call


@pytest.mark.slow
def test_moments_single_instances_and_changes_come_from_a_bucket(
    bucket: S3Bucket, start_probe_host: StartHost, tmp_path: Path
) -> None:
    host = start_probe_host("--archive", bucket.place())
    until_reached(bucket.root(), 0)
    with host.caller() as caller:
        caller.call("Probe", "alice", "put", "k", 1)
        at_us = now_us()
        caller.call("Probe", "alice", "put", "k", 2)
        until_reached(bucket.root(), now_us())
        lines = [json.loads(line) for line in caller.request("GET", "/v1/changes?type=Probe").text.splitlines()]
        assert [line["put"] for line in lines if "put" in line] == [{"k": 1}, {"k": 2}]
        body = b'{"at":%f}' % (at_us / 1e6)
        reverted = caller.request("POST", "/v1/instances/Probe/alice/revert", body)
        assert reverted.status == 200, reverted.text
        assert caller.call("Probe", "alice", "get", "k").value == 1
    host.stop()

    words = ["restore", "--from", bucket.place(), "--at", f"{at_us / 1e6:.6f}", str(tmp_path / "data"), "--json"]
    done = subprocess.run([HOLDFAST, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["commits"] == 1


@pytest.mark.slow
def test_a_host_that_is_killed_while_it_ships_into_a_bucket_loses_no_moment(
    bucket: S3Bucket, start_probe_host: StartHost, tmp_path: Path
) -> None:
    chance = random.Random(3)
    host = start_probe_host("--archive", bucket.place(), workers=2)
    until_reached(bucket.root(), 0)
    begin_us = now_us()
    with Counting(host) as counting:
        for _ in range(3):
            time.sleep(0.5 + chance.random())  # a random moment: that is what is tested
            host.kill_all()
            host.restart()
        until_reached(bucket.root(), now_us())
        end_us = now_us()
    until_reached(bucket.root(), end_us)
    host.stop()

    for _ in range(5):
        at_us = chance.randrange(begin_us, end_us)
        words = ["restore", "--from", bucket.place(), "--at", f"{at_us / 1e6:.6f}", str(tmp_path / "restored")]
        done = subprocess.run([HOLDFAST, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = counts_in(tmp_path / "restored")
        for name, count in found.items():
            counting.check(name, count, at_us)
        shutil.rmtree(tmp_path / "restored")


@pytest.mark.slow
def test_a_service_that_hangs_or_refuses_holds_up_no_call_and_shows_as_lag(
    bucket: S3Bucket, start_probe_host: StartHost
) -> None:
    host = start_probe_host("--archive", bucket.place())
    until_reached(bucket.root(), 0)
    with host.caller() as caller:
        with bucket.service.stopped():
            deadline = time.monotonic() + 120
            while "behind" not in (ready := caller.request("GET", "/health/readiness")).text:
                began = time.monotonic()
                assert caller.call("Probe", "alice", "increment").status == 200
                assert time.monotonic() - began < HELD_UP_S
                assert time.monotonic() < deadline, "the lag is not told"
                time.sleep(0.1)
            assert ready.status == 200
        with bucket.service.failing(refuse=503):
            deadline = time.monotonic() + 60
            while not caller.metric("holdfast_archive_failing"):
                assert time.monotonic() < deadline, "the failure is not told"
                time.sleep(0.2)
        count = caller.call("Probe", "alice", "increment").value
        until_reached(bucket.root(), now_us())
        while caller.request("GET", "/health/readiness").text != "ok":
            assert time.monotonic() < deadline, "it is not told that all is well"
            time.sleep(0.1)
        last = caller.request("GET", "/v1/changes?type=Probe").text.splitlines()[-1]
        assert json.loads(last)["put"] == {"n": count}


def restored_from(place: str, directory: Path) -> str:
    done = CliRunner().invoke(group, ["restore", "--from", place, str(directory)])
    assert done.exit_code == 1, done.output
    assert not directory.exists()
    return done.output


def test_each_mistake_with_a_bucket_is_one_sentence(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "data"
    assert "is no archive: it has no archive.json" in restored_from(bucket.place(), made)
    other = bucket.place().replace(bucket.name, "no-such-bucket")
    assert "there is no such bucket: make it, or name another one" in restored_from(other, made)
    assert "names no bucket: write s3://BUCKET/PREFIX" in restored_from("s3://", made)
    nobody = f"s3://{bucket.name}/a?endpoint=http://127.0.0.1:1&region=us-east-1"
    assert "the service of S3 does not answer (EndpointConnectionError)" in restored_from(nobody, made)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    assert "the service does not accept the credentials (InvalidAccessKeyId)" in restored_from(bucket.place(), made)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "there are no credentials (NoCredentialsError): set AWS_ACCESS_KEY_ID" in restored_from(bucket.place(), made)


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast_host.storage.archive.s3.find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match=r"pip install 'holdfast\[s3\]'"):
        roots.archive_root("s3://backups/a")


def test_a_wrong_address_is_refused_before_the_host_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="asks for 'endpont'"):
        HostConfig.make(data=tmp_path, archive="s3://backups/a?endpont=http://x")
