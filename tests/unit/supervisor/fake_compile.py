"""A compiler whose components are JSON: the description, or `{"refuse": "why"}`."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.compiled_store import KeptComponent


@dataclass(frozen=True, slots=True)
class FakeCompiled:
    path: Path
    description: dict[str, Any]


async def compile_json(component: Path, cache: Path, limits: Limits, on_stage: Callable[[str], None]) -> FakeCompiled:
    on_stage("checking")
    description = json.loads(await asyncio.to_thread(component.read_text))
    if "refuse" in description:
        raise InvalidComponentError(description["refuse"])
    await asyncio.sleep(description.get("compile_s", 0))
    while description.get("gate") and not Path(description["gate"]).exists():  # noqa: ASYNC110, ASYNC240 a test's
        await asyncio.sleep(0.001)
    path = KeptComponent.at(cache, component.stem).compiled
    if not await asyncio.to_thread(path.exists):
        await asyncio.to_thread(path.write_text, "compiled")
        on_stage("compiling")
    return FakeCompiled(path, description)


def component_text(
    *types: str,
    fetch: bool = False,
    remark: str = "",
    compile_s: float = 0,
    gate: Path | str = "",
    methods: Sequence[str] = ("deposit",),
    development: bool = False,
    handlers: Sequence[str] | None = None,
    scheduled: bool = False,
) -> str:
    """A component that ships these classes, each with these methods; it compiles once the file `gate` is there."""
    described = [{"name": each, "signature": "(amount: int) -> dict", "doc": ""} for each in methods]
    told = {} if handlers is None else {"handlers": list(handlers)}
    actors = [{"type": each, "doc": "", "methods": described, "private": ["alarm"], **told} for each in types]
    own = [*(["fetch"] if fetch else []), *(["scheduled"] if scheduled else [])]
    facts = {"actors": actors, "handlers": own, "remark": remark, "development": development}
    return json.dumps({**facts, "compile_s": compile_s, "gate": str(gate)})


def manifest_text(name: str, *actors: tuple[str, str], func_id: str | None = None, extra: str = "") -> str:
    """A manifest with these (binding, type) pairs."""
    tables = "".join(f'[[actors]]\nbinding = "{binding}"\ntype = "{kind}"\n' for binding, kind in actors)
    deploy = f'[deploy]\nfunc_id = "{func_id}"\n' if func_id else ""
    return f'name = "{name}"\nmain = "src/app.py"\ncompatibility_date = "2026-11-01"\n{tables}{deploy}{extra}'
