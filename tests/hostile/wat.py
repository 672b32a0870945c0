"""Hand-made components: the smallest good one, with the hostile lines of a file of `wat/` put in its place.

A file has sections: `;;@MARKER` is put where the good component has `;;MARKER`; `;;@replace` and `;;@by` put one text
in place of another. Each component has an actor type of its own, so that all can be deployed beside each other.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from wasmtime import wat2wasm

_HERE = Path(__file__).parent
_MINIMAL = _HERE.parent / "fixtures" / "wat" / "minimal.wat"


def text_of(name: str) -> str:
    """The component of `wat/NAME.wat` as text."""
    text = _MINIMAL.read_text()
    source = (_HERE / "wat" / f"{name}.wat").read_text()
    sections = [part.partition("\n") for part in source.split(";;@")[1:]]
    replaced = ""
    for marker, _, body in sections:
        part = body.rstrip("\n")
        if marker == "replace":
            replaced = part
            assert text.count(replaced) == 1, f"{name}: {replaced!r}"
        elif marker == "by":
            text = text.replace(replaced, part)
        else:
            assert text.count(f";;{marker}\n") == 1, f"{name}: {marker}"
            text = text.replace(f";;{marker}\n", f"{part}\n")
    return text.replace("Tiny", type_of(name))


def type_of(name: str) -> str:
    """The actor type of that component; it has one method, `run`. As long as the one whose place it takes."""
    return f"T{zlib.crc32(name.encode()) % 1000:03}"


def component(name: str) -> bytes:
    """The component of `wat/NAME.wat`."""
    return assemble(text_of(name))


def assemble(text: str) -> bytes:
    """WebAssembly from its text."""
    return bytes(wat2wasm(text))


def with_types(count: int) -> str:
    """A component that describes so many actor types."""
    entries = ",".join(f'{{"type":"C{number}","methods":[],"private":[]}}' for number in range(count))
    return described_as(f'{{"contract":"1.0.0","codec":1,"actors":[{entries}],"fetch":false}}')


def with_methods(count: int) -> str:
    """A component whose one type describes so many methods."""
    entries = ",".join(f'{{"name":"m{number}"}}' for number in range(count))
    actor = f'{{"type":"Many","methods":[{entries}],"private":[]}}'
    return described_as(f'{{"contract":"1.0.0","codec":1,"actors":[{actor}],"fetch":false}}')


def described_as(description: str) -> str:
    """The smallest component, with this as its description."""
    text = _MINIMAL.read_text()
    escaped = description.replace('"', '\\"')
    pages = len(description) // 65_536 + 2
    size = "".join(f"\\{byte:02x}" for byte in len(description).to_bytes(4, "little"))
    text = text.replace("\\6f\\00\\00\\00", size).replace(
        "\\00\\00\\00\\00\\00\\01\\00\\00", "\\00\\00\\00\\00\\00\\00\\01\\00"
    )
    text = text.replace('(memory (export "memory") 1)', f'(memory (export "memory") {pages})')
    start = text.index("(data (i32.const 256)")
    return text[:start] + f'(data (i32.const 65536) "{escaped}")\n' + text[text.index("\n", start) :]


def bomb(loops: int, variables: int) -> str:
    """Loops inside each other that carry every variable: a few bytes each, and all of them to be kept track of."""
    names = range(variables)
    body = "".join(f"(local.set {at} (i64.add (local.get {at}) (local.get {(at + 1) % variables})))" for at in names)
    opening = "".join(f"(loop (br_if 0 (i64.eqz (local.get {at % variables})))" for at in range(loops))
    return _MINIMAL.read_text().replace(
        ";;core-fields\n", f"(func (local{' i64' * variables}) {opening}{body}{')' * loops})\n"
    )


def nested_types(depth: int) -> str:
    """An import whose parameter's type has two to the power of `depth` parts when it is written out."""
    types = "(type $t0 (tuple string string))" + "".join(
        f"(type $t{at} (tuple $t{at - 1} $t{at - 1}))" for at in range(1, depth)
    )
    last = f"$t{depth - 1}"
    return _MINIMAL.read_text().replace(
        ";;imports\n",
        f'{types}(import "holdfast:actor/storage@1.0.0" (instance (alias outer 1 {last} (type $big)) '
        '(export "get" (func (param "key" (option $big)) (result (result string (error string)))))))\n',
    )
