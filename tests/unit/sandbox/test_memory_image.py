"""Compiled files of one code: what wasmtime compiles from a version is what comes of another's with its memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm
from wasmtime.component import Component

from holdfast_host.core.errors import HostUnavailableError, InvalidComponentError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.components import compile_client
from holdfast_host.sandbox.components.compile_client import CompiledComponent, compile_component
from holdfast_host.sandbox.components.compiled_store import compiled_before, has_code, write_sparse
from holdfast_host.sandbox.components.memory_image import DATA_BYTES_MIN, SplitComponent, split
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from tests.unit.sandbox.conftest import minimal_wat
from tests.unit.sandbox.turns import TestTurn

PAGE = 65536
AT = PAGE  # where the large data of these begin
STACK = AT + 4096
ORDERS_SEEN = 300  # compilations in which each of the six orders of three names comes, but once in 10^10 runs

BESIDE = """(core module $beside (func $f (export "fun")) (global (export "g") (ref func) (ref.func $f)))
  (core instance $beside (instantiate $beside))"""


def versioned(
    answer: str = "alpha",
    *,
    stack: int = STACK,
    place: str = "",
    adapter: str = "",
    imports: str = "",
    memory: str = "40",
    fields: str = "",
) -> bytes:
    """A component in the shape of the SDK's: an adapter's global says where the answer lies in a large memory.

    Args:
        answer: a word; all versions differ in their data as well.
        stack: the address in the global.
        place: what the global begins with, if it is not the address as it is.
        adapter: further fields of the adapter's module.
        imports: what it imports from "beside" as well.
        memory: the limits of the memory, in pages.
        fields: further fields of the module that has it.
    """
    filler = (f"{answer}-" * (DATA_BYTES_MIN // 2 // (len(answer) + 1) + 1))[: DATA_BYTES_MIN // 2]
    text = minimal_wat(
        core_fields=f'(data (i32.const {AT}) "{filler}") (data (i32.const {AT + DATA_BYTES_MIN}) "{filler}")'
        f'(data (i32.const {stack}) "\\22{answer}\\22") {fields}',
    )
    text = text.replace('(memory (export "memory") 1)', f'(memory (export "memory") {memory})')
    text = text.replace('(core func $guest "call")', '(core func $adapter "call")')
    text = text.replace(
        "  (func $describe (result",
        f"""  {BESIDE if imports else ""}
  (core module $adapter
    (import "env" "memory" (memory 1))
    {imports}
    (global $other (mut i32) (i32.const 2))
    (global $stack (mut i32) {place or f"(i32.const {stack})"})
    (func (export "call") (param i32 i32 i32 i32 i32 i32) (result i32)
      (i32.store (i32.const 52) (global.get $stack))
      (i32.store (i32.const 56) (i32.const {len(answer) + 2}))
      (i32.const 48))
    {adapter})
  (core instance $adapter (instantiate $adapter {'(with "beside" (instance $beside))' if imports else ""}
    (with "env" (instance (export "memory" (memory $guest "memory"))))))
  (func $describe (result""",
        1,
    )
    return bytes(wat2wasm(text))


def split_of(component: bytes) -> SplitComponent:
    found = split(component)
    assert found is not None
    return found


def answer_of(engine: SandboxEngine, component: Component) -> object:
    turn = TestTurn()
    sandbox = Sandbox.create(LoadedComponent(engine, component), turn, memory_bytes_max=64 * MIB)
    try:
        return sandbox.call(turn, b"run", b"", False, False)
    finally:
        sandbox.close()


def test_two_versions_differ_in_their_memory_alone_wherever_their_stacks_are() -> None:
    one, other = split_of(versioned("alpha")), split_of(versioned("omega", stack=STACK + 4096))

    assert (one.before, one.after) == (other.before, other.after)
    assert one.key == other.key
    assert one.image != other.image


def sections_of(elf: bytes) -> dict[str, bytes]:
    """The content of each section of a compiled file, by name."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<II8x8xQQ", elf, table + size * at) for at in range(count)]
    contents = [elf[at : at + length] for _, _, at, length in headers]
    found = {}
    for (name, *_), content in zip(headers, contents, strict=True):
        found[contents[names][name:].partition(b"\0")[0].decode()] = content
    return found


def test_what_is_put_into_a_compiled_file_is_what_wasmtime_compiles(engine: SandboxEngine) -> None:
    """Section by section; names are numbered anew in each compilation, in an order by chance: it may take a few."""
    one, other = split_of(versioned("alpha")), split_of(versioned("omega", stack=STACK + 4096))
    compiled = bytes(Component(engine.engine, one.whole).serialize())
    made = sections_of(compiled.replace(one.image, other.image))
    names = made.pop(".wasmtime.info")

    def compile_other() -> bytes:
        wanted = sections_of(bytes(Component(engine.engine, other.whole).serialize()))
        wanted_names = wanted.pop(".wasmtime.info")
        assert len(wanted[".text"]) > 0
        assert made == wanted
        return wanted_names

    assert compiled.count(one.image) == 1
    assert any(compile_other() == names for _ in range(ORDERS_SEEN))


@pytest.mark.parametrize("stack", [STACK, STACK + 4096, AT])
def test_a_component_does_the_same_once_it_is_split(engine: SandboxEngine, stack: int) -> None:
    content = versioned("alpha", stack=stack)

    assert answer_of(engine, Component(engine.engine, split_of(content).whole)) == (True, b'"alpha"')
    assert answer_of(engine, Component(engine.engine, content)) == (True, b'"alpha"')


@pytest.mark.parametrize("other", ["", "(global i32 (i32.const 7))"])
def test_an_address_that_is_worked_out_stays_in_its_module(engine: SandboxEngine, other: str) -> None:
    content = versioned("alpha", place=f"(i32.add (i32.const {STACK - 8}) (i32.const 8))", adapter=other)

    assert answer_of(engine, Component(engine.engine, content)) == (True, b'"alpha"')
    assert answer_of(engine, Component(engine.engine, split_of(content).whole)) == (True, b'"alpha"')


def test_other_code_has_another_key() -> None:
    key = split_of(versioned("alpha")).key

    assert split_of(versioned("alpha", adapter='(func (export "more"))')).key != key
    assert split_of(versioned("alpha", fields='(func (export "more"))')).key != key
    assert split_of(versioned("alpha", adapter="(global (mut i32) (i32.const 3))")).key != key
    assert split_of(versioned("alpha", memory="80")).key != key, "it starts with another size of memory"


def test_an_address_is_told_from_a_number_by_where_it_points() -> None:
    """A number that is no address stays in the code: two that differ in it are two codes."""
    beyond = 40 * 65536 + 4 * MIB
    numbers = {
        split_of(versioned("alpha", adapter=f"(global (mut i32) (i32.const {beyond + each}))")) for each in (0, 1)
    }
    addresses = {
        split_of(versioned("alpha", adapter=f"(global (mut i32) (i32.const {STACK + each}))")) for each in (0, 1)
    }

    assert len({each.key for each in numbers}) == 2
    assert len({each.key for each in addresses}) == 1


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"memory": "40 80"}, id="a memory with a maximum"),
        pytest.param({"fields": '(data "passive")'}, id="a passive segment"),
        pytest.param(
            {"fields": '(data $named (i32.const 4096) "-") (func (data.drop $named))'}, id="code that names a segment"
        ),
        pytest.param({"fields": '(data (i32.const 2621439) "xy")'}, id="data past the end"),
        pytest.param({"fields": '(data (i32.const -1) "x")'}, id="data before the beginning"),
        pytest.param({"fields": "(memory 1)"}, id="two memories in a module"),
        pytest.param({"adapter": "(memory 1)"}, id="two memories in a component"),
        pytest.param({"memory": "200"}, id="much memory with little in it, which the file would hold"),
        pytest.param({"adapter": "(rec (type (func (param i32))) (type (func)))"}, id="a group of types"),
        pytest.param({"adapter": "(type (func (param (ref func))))"}, id="a type that is said in two bytes"),
        pytest.param(
            {"imports": '(import "beside" "g" (global (ref func))) (import "beside" "fun" (func))'},
            id="an import of a type that is said in two bytes",
        ),
    ],
)
def test_what_is_not_of_that_kind_is_compiled_as_it_is(kind: dict[str, Any]) -> None:
    assert split(versioned(**kind)) is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bytes(wat2wasm(minimal_wat())), id="little data"),
        pytest.param(b"\0asm\x0d\0\1\0" + b"\x01" + b"\xff" * 40, id="a number without end"),
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(wat2wasm("(component (core module (memory 1) (func)))")), id="no data at all"),
    ],
)
def test_what_does_not_read_or_is_small_is_split_nowhere(content: bytes) -> None:
    assert split(content) is None


def test_a_module_that_starts_by_itself_keeps_its_addresses(engine: SandboxEngine) -> None:
    content = versioned("alpha", adapter="(func $first) (start $first)")

    assert split_of(content).key != split_of(versioned("alpha", stack=STACK + 4096, adapter="(func $f) (start $f)")).key
    assert answer_of(engine, Component(engine.engine, split_of(content).whole)) == (True, b'"alpha"')


def test_a_cut_component_is_split_nowhere() -> None:
    content = versioned("alpha")

    for at in [*range(8, 2_000, 7), *range(2_000, len(content), 40_009)]:
        split(content[:at])  # whatever comes of it, no other error


class Compiler:
    """compile_component with one cache, and the stages it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "compiled"
        self.stages: list[str] = []

    def __call__(self, content: bytes) -> CompiledComponent:
        path = self.folder / "some.wasm"
        path.write_bytes(content)
        self.stages.clear()
        return asyncio.run(compile_component(path, self.cache, Limits(), self.stages.append))


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(tmp_path)


def test_the_next_version_reuses_the_machine_code_and_answers_as_itself(
    compiler: Compiler, engine: SandboxEngine
) -> None:
    first = compiler(versioned("alpha"))
    assert compiler.stages == ["checking", "compiling", "trying"]
    second = compiler(versioned("omega", stack=STACK + 4096))
    assert compiler.stages == ["checking", "reusing", "trying"]
    first.path.unlink()
    third = compiler(versioned("gamma", stack=STACK + 8192))
    assert compiler.stages == ["checking", "reusing", "trying"], "the second serves as well as the first"

    assert answer_of(engine, engine.load(second.path).component) == (True, b'"omega"')
    assert answer_of(engine, engine.load(third.path).component) == (True, b'"gamma"')
    compiler(versioned("gamma", stack=STACK + 8192))
    assert compiler.stages == ["checking", "cached"]


@pytest.mark.parametrize("pages", [1, 2])
def test_a_guest_has_the_room_that_it_had_before_its_memory_was_rounded_up(
    compiler: Compiler, engine: SandboxEngine, pages: int
) -> None:
    """One page more than it starts with is its limit; it starts with 40, and is compiled with 64."""
    grow = f"(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))"
    content = versioned(memory="40", adapter=f"(func $first {grow}) (start $first)")
    as_built = LoadedComponent(engine, Component(engine.engine, content))
    compiled = engine.load(compiler(content).path)

    assert compiled.memory_added_bytes == 24 * PAGE
    for each in (as_built, compiled):
        with pytest.raises(SandboxTrap) if pages == 2 else contextlib.nullcontext():
            Sandbox.create(each, TestTurn(), memory_bytes_max=41 * PAGE).close()


def _change_a_byte(first: CompiledComponent) -> None:
    content = bytearray(first.path.read_bytes())
    content[len(content) // 3] ^= 1
    first.path.write_bytes(content)


def _cut(first: CompiledComponent) -> None:
    os.truncate(first.path, 100_000)


def _remove(first: CompiledComponent) -> None:
    first.path.unlink()


@pytest.mark.parametrize("harm", [_change_a_byte, _cut, _remove])
def test_machine_code_that_was_damaged_is_not_reused(
    compiler: Compiler, engine: SandboxEngine, harm: Callable[[CompiledComponent], None]
) -> None:
    harm(compiler(versioned("alpha")))
    second = compiler(versioned("omega"))

    assert compiler.stages == ["checking", "reusing", "compiling", "trying"]
    assert answer_of(engine, engine.load(second.path).component) == (True, b'"omega"')


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda facts: facts["image"].update(offset=facts["image"]["offset"] + 4096), id="a page further"),
        pytest.param(lambda facts: facts["image"].update(offset=1 << 40), id="behind the end"),
        pytest.param(lambda facts: facts["image"].update(offset=10**30), id="no number of the system's"),
        pytest.param(lambda facts: facts["image"].update(offset=-1), id="before the beginning"),
        pytest.param(lambda facts: facts["image"].update(offset="1"), id="a text"),
        pytest.param(lambda facts: facts.update(image=[facts["image"]]), id="a list"),
        pytest.param(lambda facts: facts.pop("compiled_sha256"), id="no hash"),
        pytest.param(lambda facts: facts.pop("image"), id="of an older host"),
    ],
)
def test_a_record_that_does_not_fit_its_file_is_not_gone_by(
    compiler: Compiler, engine: SandboxEngine, change: Callable[[dict[str, Any]], object]
) -> None:
    record = compiler(versioned("alpha")).path.with_suffix(".json")
    facts = json.loads(record.read_bytes())
    change(facts)
    record.write_text(json.dumps(facts))
    second = compiler(versioned("omega"))

    assert compiler.stages[-2:] == ["compiling", "trying"]
    assert answer_of(engine, engine.load(second.path).component) == (True, b'"omega"')


def test_the_copy_is_what_the_record_vouches_for_whatever_the_file_was_before(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another deploy may put another file in its place between two looks."""
    first = compiler(versioned("alpha"))
    code = json.loads(first.path.with_suffix(".json").read_bytes())["image"]["code"]
    read, into, image = Path.read_bytes, tmp_path / "into", split_of(versioned("omega")).image

    def replaced(path: Path) -> bytes:
        content = read(path)
        return content[:-1] + bytes([content[-1] ^ 1]) if path == first.path else content

    assert compiled_before(compiler.cache, code, image, into) is not None
    monkeypatch.setattr(Path, "read_bytes", replaced)
    assert compiled_before(compiler.cache, code, image, into) is None


@pytest.mark.parametrize("versions", [1, 2])
def test_a_full_disk_is_told_in_one_sentence(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, versions: int
) -> None:
    if versions == 2:
        compiler(versioned("alpha"))
    full = tmp_path / "full.cwasm"
    full.symlink_to("/dev/full")
    monkeypatch.setattr(compile_client, "_make_draft", lambda _: full)

    with pytest.raises(
        HostUnavailableError, match=r"^the component cannot be compiled into .*: .*No space left[^\n]*$"
    ):
        compiler(versioned("omega"))
    assert compiler.stages == ["checking", "compiling" if versions == 1 else "reusing"]


def test_records_of_other_codes_are_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their descriptions may have megabytes."""
    (tmp_path / "some.json").write_text(json.dumps({"description": {}, "image": {"code": "one", "offset": 0}}))
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("parsed"))

    assert not has_code(tmp_path, "other")


def test_what_may_not_run_is_refused_as_ever(compiler: Compiler) -> None:
    compiler(versioned("alpha"))
    foreign = versioned("omega").replace(b"describe", b"subscrib")
    with pytest.raises(InvalidComponentError, match="describe"):
        compiler(foreign)
    trap = versioned("omega").replace(b"\\22type", b"")
    with pytest.raises(InvalidComponentError):
        compiler(trap.replace(b'{"contract"', b'["contract"'))
    assert len([*compiler.cache.iterdir()]) == 2, "the first and its record"


BLOCK = 4096


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"a"],
        [bytes(BLOCK)],
        [bytes(3 * BLOCK + 1)],
        [b"a" * BLOCK, bytes(BLOCK), b"b"],
        [b"a" * 100, bytes(5 * BLOCK), b"b" * 7, bytes(2 * BLOCK)],
        [bytes(BLOCK - 1) + b"a", bytes(BLOCK), b"\0" * 10 + b"a" * BLOCK],
        [b"a" + bytes(2 * BLOCK - 2) + b"b"],
    ],
)
def test_a_file_with_zeros_left_out_reads_as_what_was_written(parts: list[bytes], tmp_path: Path) -> None:
    into = tmp_path / "file"
    into.write_bytes(b"what was there before" * 10_000)
    write_sparse(into, parts)

    assert into.read_bytes() == b"".join(parts)


def test_zeros_take_no_room_in_a_compiled_file(tmp_path: Path) -> None:
    into = tmp_path / "file"
    into.touch()
    write_sparse(into, [b"a" * 100, bytes(4 * MIB), b"b" * 100])
    descriptor = os.open(into, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)

    assert into.stat().st_size == 4 * MIB + 200
    assert into.stat().st_blocks * 512 < MIB
