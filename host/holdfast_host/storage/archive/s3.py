"""S3: a bucket's objects as places of an archive, and the sentences for what the service refuses. botocore's one door.

A `BucketPath` is walked and read as a `Path` is. An object is only ever put whole; a writer says what it expects to be
there (`UNWRITTEN`, or the ETag that it has seen), so that neither another host nor a request that was given up and
arrives late writes over what is newer. Credentials, region and endpoint come the client's usual ways.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.s3_refusals import BucketError, ChangedError, told

if TYPE_CHECKING:
    from holdfast_host.core.bucket_address import BucketAddress

UNWRITTEN: Final = ""  # as an expected ETag: there is no such object yet
_PART_BYTES: Final = 16 * MIB  # of a file that is sent in parts: ten thousand of them at the most
_CONNECT_S: Final = 5.0
_READ_S: Final = 20.0
_TRIES: Final = 3
_DELETES_MAX: Final = 1000  # in one request, as the service has it
_BUFFER_BYTES: Final = MIB  # a segment is read by one request


class Bucket:
    """A client of one bucket; any thread."""

    def __init__(self, address: BucketAddress) -> None:
        self.address = address
        self._client: Any = None

    @property
    def client(self) -> Any:
        """Made when it is first asked, for that takes a tenth of a second."""
        if self._client is None:
            with _refusals(str(self.address)):
                self._client = _make_client(self.address)
        return self._client

    def key(self, name: str) -> str:
        """The key of an object by its name below the prefix."""
        return "/".join(filter(None, (self.address.prefix, name)))


def open_bucket(address: BucketAddress) -> BucketPath:
    """The root of an archive in a bucket; nothing is asked yet.

    Raises:
        ConfigurationError: the client is not installed.
    """
    if find_spec("botocore") is None:
        raise ConfigurationError(f"{address} needs the client of S3: pip install 'holdfast[s3]'")
    return BucketPath(Bucket(address))


def _make_client(address: BucketAddress) -> Any:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"total_max_attempts": _TRIES, "mode": "standard"},
        tcp_keepalive=True,
        # Services other than AWS know the checksums of old alone: `Content-MD5`, which goes with all that is put.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **({"s3": {"addressing_style": "path"}} if address.endpoint else {}),
    )
    region = address.region or os.environ.get("AWS_REGION")  # which this client alone does not know
    try:
        return get_session().create_client(
            "s3", endpoint_url=address.endpoint or None, region_name=region or None, config=config
        )
    except BotoCoreError:  # some of which are ValueErrors too
        raise
    except ValueError as error:  # of what its variables and files say
        raise BucketError(f"the client finds no service ({error}): see AWS_ENDPOINT_URL_S3", str(address)) from error


@dataclass(frozen=True, slots=True)
class BucketPath:
    """A place in a bucket: an object, or what begins with its name."""

    bucket: Bucket
    at: str = ""  # below the prefix

    def __truediv__(self, name: str) -> BucketPath:
        """As with a `Path`."""
        return BucketPath(self.bucket, f"{self.at}/{name}" if self.at else name)

    def __str__(self) -> str:
        """As the operator names it; the root with its endpoint."""
        address = self.bucket.address
        return str(address._replace(endpoint="", region="", prefix=self.bucket.key(self.at)) if self.at else address)

    @property
    def name(self) -> str:
        """The last part."""
        return self.at.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part, without its suffix."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def suffix(self) -> str:
        """From the last point on."""
        return self.name.removeprefix(self.stem)

    def is_dir(self) -> bool:
        """Folders are not made in a bucket: each may be there."""
        return True

    def iterdir(self, after: str = "") -> Iterator[BucketPath]:
        """What lies directly below, in the order of names; from behind a name on.

        Raises:
            OSError: it cannot be listed.
        """
        begin = self.bucket.key(f"{self.at}/" if self.at else "")
        begin = begin if not begin or begin.endswith("/") else f"{begin}/"
        words = {"Bucket": self.bucket.address.bucket, "Prefix": begin, "Delimiter": "/"}
        if after:
            words["StartAfter"] = begin + after
        while True:
            with _refusals(str(self)):
                page = self.bucket.client.list_objects_v2(**words)
            found = [each["Key"] for each in page.get("Contents", ())]
            found += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
            for key in sorted(found):
                if name := key[len(begin) :].rstrip("/"):
                    yield self / name
            if not page.get("IsTruncated"):
                return
            words["ContinuationToken"] = page["NextContinuationToken"]

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Read it from its begin, or from where `seek` goes; asked is when the first byte is read."""
        return io.BufferedReader(_ObjectReader(self), _BUFFER_BYTES)

    def read_bytes(self) -> bytes:
        """All of it.

        Raises:
            FileNotFoundError, OSError: it is not there, or cannot be read.
        """
        return self.read_tagged()[0]

    def read_tagged(self) -> tuple[bytes, str]:
        """All of it, and its ETag."""
        with self.open("rb") as file:
            content = file.read()
            return content, file.raw.etag  # type: ignore[attr-defined]  # of a BufferedReader

    def get(self, begin: int) -> Any:
        """The answer to a request for what follows a byte."""
        words = {"Range": f"bytes={begin}-"} if begin else {}
        with _refusals(str(self)):
            return self.bucket.client.get_object(**self._words, **words)

    def age_s(self) -> float | None:
        """How long ago it was put, by the service's clock; None where it is not there.

        Raises:
            OSError: it cannot be asked.
        """
        try:
            with _refusals(str(self)):
                answer = self.bucket.client.head_object(**self._words)
        except FileNotFoundError:
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - answer["LastModified"]).total_seconds())

    def exists(self) -> bool:
        """Whether there is such an object."""
        return self.age_s() is not None

    def put(self, content: bytes, *, expected: str | None = None) -> str:
        """Make it, or write over it; its ETag.

        Args:
            content: all of it.
            expected: the ETag that it must have now, or `UNWRITTEN`; None: whatever is there.

        Raises:
            ChangedError: it is not as it was expected.
            OSError: it may be there or not.
        """
        words: dict[str, Any] = {"Body": content, "ContentMD5": _md5(content)}
        if expected is not None:
            words |= {"IfNoneMatch": "*"} if expected == UNWRITTEN else {"IfMatch": expected}
        try:
            with _refusals(str(self)):
                return str(self.bucket.client.put_object(**self._words, **words)["ETag"])
        except ChangedError:
            with suppress(FileNotFoundError):  # the client asks again where an answer was lost
                found, etag = self.read_tagged()
                if found == content:
                    return etag
            raise

    def put_pieces(self, pieces: Iterable[bytes]) -> None:
        """Make it of any size, in parts where it is large.

        Raises:
            OSError: it is not there, or not for sure.
        """
        parts = _joined(pieces)
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            self.put(first)
            return
        client, known = self.bucket.client, list[dict[str, Any]]()
        with _refusals(str(self)):
            upload = {**self._words, "UploadId": client.create_multipart_upload(**self._words)["UploadId"]}
        try:
            for number, part in enumerate(_chained(first, second, parts), 1):
                with _refusals(str(self)):
                    answer = client.upload_part(**upload, PartNumber=number, Body=part, ContentMD5=_md5(part))
                known.append({"PartNumber": number, "ETag": answer["ETag"]})
            with _refusals(str(self)):
                client.complete_multipart_upload(**upload, MultipartUpload={"Parts": known})
        except BaseException:
            with suppress(OSError), _refusals(str(self)):
                client.abort_multipart_upload(**upload)
            raise

    def touch(self) -> None:
        """Have it count as put now."""
        source = {"Bucket": self.bucket.address.bucket, "Key": self.bucket.key(self.at)}
        with _refusals(str(self)):
            self.bucket.client.copy_object(**self._words, CopySource=source, MetadataDirective="REPLACE")

    def remove(self, paths: Sequence[BucketPath]) -> None:
        """Remove places of this bucket; those that are not there too.

        Raises:
            OSError: some may be there still.
        """
        for begin in range(0, len(paths), _DELETES_MAX):
            named = [{"Key": self.bucket.key(each.at)} for each in paths[begin : begin + _DELETES_MAX]]
            with _refusals(str(self)):
                answer = self.bucket.client.delete_objects(
                    Bucket=self.bucket.address.bucket, Delete={"Objects": named, "Quiet": True}
                )
            if failed := answer.get("Errors"):
                raise BucketError(f"it cannot be removed ({failed[0].get('Code')})", f"{failed[0].get('Key')}")

    def abort_uploads(self) -> None:
        """Forget the parts of files below that were never sent whole: they would be paid for.

        Raises:
            OSError: some may be there still.
        """
        begin = f"{self.bucket.key(self.at)}/"
        with _refusals(str(self)):
            found = self.bucket.client.list_multipart_uploads(Bucket=self.bucket.address.bucket, Prefix=begin)
            for each in found.get("Uploads", ()):
                self.bucket.client.abort_multipart_upload(
                    Bucket=self.bucket.address.bucket, Key=each["Key"], UploadId=each["UploadId"]
                )

    @property
    def _words(self) -> dict[str, Any]:
        return {"Bucket": self.bucket.address.bucket, "Key": self.bucket.key(self.at)}


class _ObjectReader(io.RawIOBase):
    """Reads an object as it comes, again from where an answer broke off. Until `close`; one thread.

    What is rewritten meanwhile only gets longer, so what was read stays as it was.
    """

    def __init__(self, path: BucketPath) -> None:
        super().__init__()
        self._path = path
        self._begin = 0
        self._body: Any = None
        self.etag = ""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of an object is not known")
        self._drop()
        self._begin = offset + (self._begin if whence == io.SEEK_CUR else 0)
        return self._begin

    def tell(self) -> int:
        return self._begin

    def readinto(self, buffer: Any, /) -> int:
        for left in reversed(range(_TRIES)):
            try:
                if self._body is None:
                    answer = self._path.get(self._begin)
                    self._body, self.etag = answer["Body"], answer["ETag"]
                with _refusals(str(self._path)):
                    piece = self._body.read(len(buffer))
            except ChangedError:  # it ends before
                return 0
            except FileNotFoundError:
                raise
            except OSError:
                self._drop()
                if not left:
                    raise
            else:
                buffer[: len(piece)] = piece
                self._begin += len(piece)
                return len(piece)
        return 0

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()


@contextmanager
def _refusals(where: str) -> Iterator[None]:
    """Say what the client or the service refuses, as an OSError of ours."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except (BotoCoreError, ClientError, HTTPClientError) as error:
        raise told(error, where) from error


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in parts of the size that is sent."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= _PART_BYTES:
            yield bytes(waiting[:_PART_BYTES])
            del waiting[:_PART_BYTES]
    if waiting:
        yield bytes(waiting)


def _chained(first: bytes, second: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from others
