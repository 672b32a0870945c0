"""A component on its way in: streamed to a file under `data/uploads/`, checked for size as it comes.

Two forms: `multipart/form-data` with the parts `component` and `manifest` in any order, or a bare `application/wasm`
body. The file belongs to its Upload and goes with it, whatever happens; what a front that died left behind goes
when the next one of its number starts.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from holdfast_host.core.errors import BadRequestError, InvalidManifestError, PayloadTooLargeError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.limits import KIB, MIB, Limits
from holdfast_host.front.http.client_timeouts import Coming
from holdfast_host.front.http.content_encoding import coding_of
from holdfast_host.front.http.server import Exchange

MANIFEST_BYTES_MAX: Final = 256 * KIB
_WRITE_BYTES: Final = MIB  # one trip to a thread for so much
_BARE: Final = frozenset({"application/wasm", "application/octet-stream"})


class Upload:
    """One component that is being received. `aclose` removes the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: str | None = None
        self.component_bytes = 0

    async def aclose(self) -> None:
        """Remove the file, if the supervisor has not moved it away."""
        self.path.unlink(missing_ok=True)


class UploadFolder:
    """Where one front puts what it receives."""

    def __init__(self, data: Path, front: int, limits: Limits) -> None:
        self._folder = data / "uploads"
        self._prefix = f"front{front}-"
        self._limits = limits

    def prepare(self) -> None:
        """Make the folder, remove what a predecessor of this front left."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)

    async def receive(self, exchange: Exchange) -> Upload:
        """Stream a request's component to disk; returns when all of it has come.

        Raises:
            RouteError: 415, the body has a content coding.
            BadRequestError: another content type, a part that is unknown, repeated or missing, a broken body.
            PayloadTooLargeError: as soon as the component passes its limit.
            InvalidManifestError: a manifest that is not UTF-8.
            StorageFullError, HostUnavailableError: the disk is full or fails.
        """
        content_type = exchange.media_type
        coding_of(exchange.headers, known=frozenset())
        if content_type != "multipart/form-data" and content_type not in _BARE:
            raise BadRequestError(
                "a deploy is multipart/form-data with component and manifest, or application/wasm, not "
                f"{content_type[:80]}"
            )
        announced = exchange.content_length
        if announced is not None and announced > self._limits.component_bytes_max + MANIFEST_BYTES_MAX + MIB:
            raise self._too_large(announced)
        exchange.expect_body()
        with _disk_errors():
            file_fd, path = tempfile.mkstemp(prefix=self._prefix, suffix=".wasm", dir=self._folder)
        upload = Upload(Path(path))
        try:
            try:
                with exchange.server.timeouts.receive() as coming:
                    if content_type in _BARE:
                        await self._store(_pieces(exchange, coming), upload, file_fd)
                    else:
                        await self._receive_parts(exchange, upload, file_fd, coming)
            finally:
                os.close(file_fd)
        except BaseException:
            await upload.aclose()
            raise
        return upload

    async def _receive_parts(self, exchange: Exchange, upload: Upload, file_fd: int, coming: Coming) -> None:
        seen: set[str] = set()
        try:
            parts = await exchange.multipart()
            while (part := await coming.next(parts.next())) is not None:
                name = part.name if isinstance(part, BodyPartReader) else None
                if not isinstance(part, BodyPartReader) or name not in {"component", "manifest"}:
                    raise BadRequestError(f"unknown part {name!r}: a deploy has the parts component and manifest")
                if name in seen:
                    raise BadRequestError(f"the part {name!r} came twice")
                seen.add(name)
                if name == "component":
                    await self._store(_pieces_of_part(part, coming), upload, file_fd)
                else:
                    upload.manifest = await _read_manifest(part, coming)
        except web.HTTPException as error:
            raise BadRequestError(f"the multipart body is broken: {error.reason}") from None
        except HttpProcessingError as error:
            raise BadRequestError(f"the multipart body is broken: {error.message[:200]}") from None
        except (ValueError, AssertionError) as error:
            raise BadRequestError(f"the multipart body is broken: {str(error)[:200]}") from None
        if "component" not in seen:
            raise BadRequestError("the part 'component' is missing: send the built .wasm under that name")

    async def _store(self, pieces: AsyncIterator[bytes], upload: Upload, file_fd: int) -> None:
        waiting = bytearray()
        async for piece in pieces:
            upload.component_bytes += len(piece)
            if upload.component_bytes > self._limits.component_bytes_max:
                raise self._too_large(upload.component_bytes)
            waiting += piece
            if len(waiting) >= _WRITE_BYTES:
                await _write(file_fd, bytes(waiting))
                waiting.clear()
        await _write(file_fd, bytes(waiting))

    def _too_large(self, length: int) -> PayloadTooLargeError:
        limit = self._limits.component_bytes_max
        return PayloadTooLargeError(f"a component of at least {length} bytes exceeds the limit of {limit} bytes")


@contextmanager
def _disk_errors() -> Iterator[None]:
    """What the disk says, in our words."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, "the upload cannot be kept", "nothing was deployed") from error


async def _write(file_fd: int, data: bytes) -> None:
    """Write in a thread. Not to be cut short: the descriptor is closed after it, never under it."""

    def write_all() -> None:
        view = memoryview(data)
        with _disk_errors():
            while view:
                view = view[os.write(file_fd, view) :]

    task = asyncio.ensure_future(asyncio.to_thread(write_all))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _pieces(exchange: Exchange, coming: Coming) -> AsyncIterator[bytes]:
    while piece := await coming.next(exchange.content.readany()):
        coming.count(len(piece))
        yield piece


async def _pieces_of_part(part: BodyPartReader, coming: Coming) -> AsyncIterator[bytes]:
    while piece := await coming.next(part.read_chunk(64 * KIB)):
        coming.count(len(piece))
        yield piece


async def _read_manifest(part: BodyPartReader, coming: Coming) -> str:
    text = bytearray()
    async for piece in _pieces_of_part(part, coming):
        text += piece
        if len(text) > MANIFEST_BYTES_MAX:
            raise PayloadTooLargeError(f"a manifest exceeds the limit of {MANIFEST_BYTES_MAX} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidManifestError(
            f"the manifest is not UTF-8: byte 0x{text[error.start]:02x} at {error.start}"
        ) from None
