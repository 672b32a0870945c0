"""From a component's bytes to a file that can be loaded: compiled, or taken from another version of the same code.

What differs between two versions of an author's sources is the memory they start with, see `memory_image`: where one is
kept, the other's file is a copy of it with that memory replaced, 0.2 s instead of 10.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wasmtime import WasmtimeError
from wasmtime.component import Component

from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.sandbox.components.compiled_store import (
    MemoryImagePlace,
    code_key,
    compiled_before,
    has_code,
    write_sparse,
)
from holdfast_host.sandbox.components.memory_image import SplitComponent, split
from holdfast_host.sandbox.components.validate import check_component
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine

_REASON_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class CompiledFile:
    """What was written.

    Attributes:
        loaded: The component, checked.
        image: Where in the file its memory lies, if other versions can use it.
        memory_added_bytes: By how much it starts larger than the component asks.
    """

    loaded: LoadedComponent
    image: MemoryImagePlace | None
    memory_added_bytes: int


def compile_into(
    compiled: Path, content: bytes, cache: Path, engine: SandboxEngine, on_stage: Callable[[str], None]
) -> CompiledFile:
    """Write the machine code of a component into a file, durably, and load that.

    Args:
        compiled: The file; what is in it is replaced.
        content: The component's bytes.
        cache: Where compiled components are kept.
        engine: What it is compiled for.
        on_stage: Told "reusing" or "compiling", as either begins.

    Returns:
        The component, checked, and what is kept of it.

    Raises:
        InvalidComponentError: it does not compile, or what it imports or exports is not what is offered and called.
    """
    parts = split(content)
    image = None
    if parts is not None and has_code(cache, code_key(parts.key)):
        on_stage("reusing")
        image = compiled_before(cache, code_key(parts.key), parts.image, compiled)
    if image is None:
        on_stage("compiling")
        image = _compile(compiled, content, parts, engine)
    with compiled.open("rb") as file:
        os.fsync(file.fileno())
    added_bytes = 0 if parts is None else parts.added_bytes
    loaded = engine.load(compiled, added_bytes)
    check_component(loaded.component, engine.engine)
    return CompiledFile(loaded, image, added_bytes)


def _compile(
    compiled: Path, content: bytes, parts: SplitComponent | None, engine: SandboxEngine
) -> MemoryImagePlace | None:
    try:
        made = Component(engine.engine, content if parts is None else parts.whole)
    except WasmtimeError as error:
        reason = " ".join(str(error).split())[:_REASON_CHARS_MAX]
        raise InvalidComponentError(f"the component does not compile: {reason}") from error
    check_component(made, engine.engine)  # before anything is loaded
    written = made.serialize()
    made.close()
    write_sparse(compiled, (memoryview(written),))
    if parts is None:
        return None
    offset = written.find(parts.image)
    if offset < 0 or written.find(parts.image, offset + 1) >= 0:
        return None
    return MemoryImagePlace(code_key(parts.key), offset)
