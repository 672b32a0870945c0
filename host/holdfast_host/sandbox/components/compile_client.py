"""Compiling a component, seen from the supervisor: a limited process of its own does it, this module watches it.

A component is hostile until it has compiled, been checked and described itself once; compiling alone can take minutes
and gigabytes. So nothing of wasmtime is loaded here. Called on the event loop of a process that must not stall.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from holdfast_host.core.errors import HostUnavailableError, InvalidComponentError
from holdfast_host.core.failures import required
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.components.compiled_store import (
    DRAFT_PREFIX,
    DamagedError,
    KeptComponent,
    MemoryImagePlace,
    sha256_of,
)
from holdfast_host.sandbox.components.description import check_description

_LINE_BYTES_MAX: Final = 64 * MIB  # a description is far smaller; the process is ours
_STDERR_CHARS_MAX: Final = 2_000

_DRAFT_AGE_MAX_S: Final = 3600.0  # no compile of a living host is that old

OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CompiledComponent:
    """A component that may run: its own hash, the file to load, and its checked description."""

    sha256: str
    path: Path
    description: dict[str, Any]


async def compile_component(component: Path, cache: Path, limits: Limits, on_stage: OnStage) -> CompiledComponent:
    """Check, compile, try once; or find what an earlier call kept. Seconds of CPU in another process, or 0.1 s.

    Where another version of the same code is kept, such as that before a change of an author's sources, "reusing" puts
    its memory into a copy of that: half a second. Where it is damaged, "compiling" follows.

    `on_stage` is told, in order: "checking", then "cached"; or ("cache damaged",) "compiling" or "reusing", "trying".
    The file is durable on return, and stays while the cache folder, which must be private to this host, does.

    Raises:
        InvalidComponentError: the component cannot run here; one sentence says why.
        HostUnavailableError: the compiling process failed for another reason than the component.
    """
    on_stage("checking")
    written = await asyncio.to_thread(_make_draft, cache)
    try:
        return await _compile_or_find(component, cache, written, limits, on_stage)
    except OSError as error:
        raise HostUnavailableError(f"the component cannot be compiled into {cache}: {error}") from error
    finally:
        await asyncio.to_thread(written.unlink, missing_ok=True)


async def _compile_or_find(
    component: Path, cache: Path, written: Path, limits: Limits, on_stage: OnStage
) -> CompiledComponent:
    sha256 = await asyncio.to_thread(sha256_of, component)
    kept = KeptComponent.at(cache, sha256)
    try:
        description = await asyncio.to_thread(kept.read)
    except DamagedError:
        description = None
        on_stage("cache damaged")
    if description is not None:
        on_stage("cached")
        return CompiledComponent(sha256, kept.compiled, _check_again(description, limits))
    request = {"component": str(component), "compiled": str(written), "cache": str(cache), "limits": asdict(limits)}
    facts = await _run_compiler(request, on_stage)
    if facts["sha256"] != sha256:
        raise HostUnavailableError(f"the component {component} changed while it was compiled")
    image = None if facts["image"] is None else MemoryImagePlace(**facts["image"])
    await asyncio.to_thread(
        kept.keep, written, facts["compiled_sha256"], facts["description"], image, facts["memory_added_bytes"]
    )
    return CompiledComponent(sha256, kept.compiled, facts["description"])


def _make_draft(cache: Path) -> Path:
    """An empty file in the cache, for the compiler to fill; those that a killed host left long ago are removed."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.chmod(0o700)  # what lies there is run as machine code
    for left in cache.glob(f"{DRAFT_PREFIX}*"):
        if time.time() - left.stat().st_mtime > _DRAFT_AGE_MAX_S:
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=DRAFT_PREFIX, suffix=".cwasm", dir=cache)
    os.close(descriptor)
    return Path(name)


def _check_again(description: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """A kept description passes the limits and rules of today, not of the day when it was kept."""
    return check_description(json.dumps(description).encode(), limits)


async def _run_compiler(request: dict[str, Any], on_stage: OnStage) -> dict[str, Any]:
    """The compiler's answer; the process is gone on return, however it ends, also when this task is cancelled."""
    limits = request["limits"]
    request["parent"] = os.getpid()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "holdfast_host.sandbox.components.compile_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=_LINE_BYTES_MAX,
        env={name: value for name, value in os.environ.items() if name != "HOLDFAST_TOKEN"},  # it runs foreign code
    )
    stdin, stdout = required(process.stdin, "the compiler's stdin"), required(process.stdout, "the compiler's stdout")
    errors = asyncio.create_task(required(process.stderr, "the compiler's stderr").read())
    try:
        async with asyncio.timeout(limits["compile_timeout_s"]):
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
            answer = await _read_answer(stdout, on_stage)
            code = await process.wait()
    except TimeoutError:
        raise InvalidComponentError(
            f"the component takes longer than {limits['compile_timeout_s']:g} s to compile and describe itself"
        ) from None
    except (BrokenPipeError, ConnectionResetError):
        answer, code = None, await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        said = (await errors).decode(errors="replace")[:_STDERR_CHARS_MAX]
    if answer is None:
        raise _explain(code, said, limits)
    if "invalid" in answer:
        raise InvalidComponentError(answer["invalid"])
    if "failed" in answer:
        folder = Path(request["compiled"]).parent
        raise HostUnavailableError(f"the component cannot be compiled into {folder}: {answer['failed']}")
    return answer


async def _read_answer(stdout: asyncio.StreamReader, on_stage: OnStage) -> dict[str, Any] | None:
    async for line in stdout:
        message: dict[str, Any] = json.loads(line)
        if "stage" not in message:
            return message
        on_stage(message["stage"])
    return None


def _explain(code: int, said: str, limits: dict[str, Any]) -> InvalidComponentError | HostUnavailableError:
    """Why the process ended without an answer."""
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return InvalidComponentError(f"the component takes more than {limits['compile_cpu_s']} s of CPU to compile")
    if "memory allocation" in said or "MemoryError" in said:
        return InvalidComponentError(
            f"the component takes more than {limits['compile_memory_bytes'] // MIB} MiB of memory to compile"
        )
    first_line = said.strip().partition("\n")[0]
    if code in {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGILL, -signal.SIGBUS}:
        return InvalidComponentError(f"the component makes the compiler fail: {first_line or code}")
    return HostUnavailableError(f"the compiling process ended with {code}: {said.strip() or 'it said nothing'}")
