"""A bucket for a test: `bucket` is a fresh one of a service that runs until the tests end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast_host.storage.archive.roots import archive_root
from holdfast_host.storage.archive.s3 import BucketPath
from tests.harness.s3_server import KEY


@dataclass
class S3Service:
    """The service, and how it fails."""

    process: subprocess.Popen[str]
    endpoint: str

    def ask(self, method: str, path: str, facts: Any = None) -> Any:
        """What stands before it."""
        body = None if facts is None else json.dumps(facts).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.endpoint}/-/{path}", body, method=method), timeout=20
        ) as answer:
            return json.loads(answer.read())

    @contextmanager
    def failing(self, **fault: Any) -> Iterator[None]:
        """Until the end: see `s3_server`."""
        self.ask("PUT", "fault", fault)
        try:
            yield
        finally:
            self.ask("PUT", "fault", {})

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It takes connections, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@dataclass
class S3Bucket:
    """A bucket of the service."""

    service: S3Service
    name: str

    def place(self, prefix: str = "archive") -> str:
        """As `--archive` takes it."""
        return f"s3://{self.name}/{prefix}?endpoint={self.service.endpoint}&region=us-east-1"

    def root(self, prefix: str = "archive") -> BucketPath:
        """As the archive sees it."""
        found = archive_root(self.place(prefix))
        assert isinstance(found, BucketPath)
        return found

    def names(self, below: str) -> list[str]:
        """What lies below."""
        return [each.at for each in _walk(self.root(), below)]


def _walk(root: BucketPath, below: str) -> Iterator[BucketPath]:
    begin = root / below
    words = {"Bucket": root.bucket.address.bucket, "Prefix": root.bucket.key(begin.at)}
    for each in root.bucket.client.list_objects_v2(**words).get("Contents", ()):
        yield BucketPath(root.bucket, each["Key"].removeprefix(f"{root.bucket.address.prefix}/"))


@pytest.fixture(scope="session")
def s3_service() -> Iterator[S3Service]:
    """One for all tests of a process."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.harness.s3_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield S3Service(process, f"http://127.0.0.1:{port}")
        process.kill()


@pytest.fixture
def bucket(s3_service: S3Service, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """A fresh one, with credentials for this process and those that it starts."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-tests")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    made = S3Bucket(s3_service, f"b-{uuid.uuid4().hex}")
    client = made.root().bucket.client
    client.create_bucket(Bucket=made.name)
    return made
