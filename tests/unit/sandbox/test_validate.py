"""What a component may import and must export, with which signatures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from wasmtime import wat2wasm
from wasmtime.component import Component

from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.validate import check_component, read_component
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox
from holdfast_host.sandbox.signatures import CONTRACT_VERSION
from tests.unit.sandbox.conftest import minimal_wat
from tests.unit.sandbox.turns import TestTurn

TEXT_RESULT = "(result (result string (error string)))"


def importing(interface: str, members: str = "") -> str:
    return minimal_wat(imports=f'(import "{interface}" (instance {members}))')


def storage(member: str, signature: str) -> str:
    return importing("holdfast:actor/storage@1.0.0", f'(export "{member}" (func {signature}))')


def problem_of(engine: SandboxEngine, text: str) -> str:
    with pytest.raises(InvalidComponentError) as caught:
        check_component(Component(engine.engine, text), engine.engine)
    return caught.value.message


def test_the_smallest_component_and_a_real_guest_pass(engine: SandboxEngine, probe: LoadedComponent) -> None:
    check_component(Component(engine.engine, minimal_wat()), engine.engine)
    check_component(probe.component, engine.engine)


@pytest.mark.parametrize(
    "text",
    [
        storage("get", f'(param "key" (list string)) {TEXT_RESULT}'),
        storage("get", f'(param "key" (list u8)) {TEXT_RESULT}'),
        storage("get", TEXT_RESULT),
        storage("get", f'(param "key" string) (param "more" string) {TEXT_RESULT}'),
        storage("get", '(param "key" string)'),
        storage("get", '(param "key" string) (result string)'),
        storage("get", '(param "key" string) (result (result string))'),
        storage("get", '(param "key" string) (result (result (error string)))'),
        storage("get", '(param "key" string) (result (result string (error u32)))'),
        storage("put", f'(param "key" string) (param "value" string) {TEXT_RESULT}'),
        importing("holdfast:actor/alarms@1.0.0", '(export "get" (func (result (result u64 (error string)))))'),
        importing(
            "holdfast:actor/log@1.0.0",
            '(export "write" (func (param "level" string) (param "text" string) (result (result (error string)))))',
        ),
        storage(
            "list",
            '(param "prefix" string) (param "start" (option u8)) (param "start-after" (option string)) '
            f'(param "end" (option string)) (param "reverse" bool) (param "limit" u32) {TEXT_RESULT}',
        ),
    ],
)
def test_an_import_with_another_signature_is_refused(engine: SandboxEngine, text: str) -> None:
    assert "has another signature than func(" in problem_of(engine, text)


def test_a_type_that_unfolds_without_end_is_not_followed(engine: SandboxEngine) -> None:
    """16 tuples of two, one in the other: 65,536 texts when written out."""
    types = "(type $t0 (tuple string string))" + "".join(
        f"(type $t{at} (tuple $t{at - 1} $t{at - 1}))" for at in range(1, 17)
    )
    text = minimal_wat(
        imports=f'{types}(import "holdfast:actor/storage@1.0.0" (instance (alias outer 1 $t16 (type $big)) '
        f'(export "get" (func (param "key" (option $big)) {TEXT_RESULT}))))'
    )
    assert "another signature" in problem_of(engine, text)


@pytest.mark.parametrize("kind", ["future string", "stream u8", "future", "error-context"])
def test_a_future_or_stream_does_not_even_compile(engine: SandboxEngine, kind: str) -> None:
    """With the async component model on, calling such an import aborts the process."""
    kind = kind if kind == "error-context" else f"({kind})"
    with pytest.raises(Exception, match="requires the component model"):
        Component(engine.engine, storage("get", f'(param "key" {kind}) {TEXT_RESULT}'))


@pytest.mark.parametrize(
    "interface",
    [
        "holdfast:actor/storage@1.0.0-draft",
        "holdfast:actor/telepathy@1.0.0",
        "wasi:http/outgoing-handler@0.2.9",
        "wasi:io/streams@0.3.0",
        "wasi:keyvalue/store@0.2.0",
        "evil:io/streams@0.2.0",
    ],
)
def test_an_unknown_interface_is_named(engine: SandboxEngine, interface: str) -> None:
    assert problem_of(engine, importing(interface)) == (
        f"the component imports {interface!r}, which this host does not offer"
    )


@pytest.mark.parametrize("thing", ["(func)", "(core module)"])
def test_what_is_not_an_interface_is_refused(engine: SandboxEngine, thing: str) -> None:
    assert "'evil'" in problem_of(engine, minimal_wat(imports=f'(import "evil" {thing})'))
    assert "is not an interface" in problem_of(
        engine, minimal_wat(imports=f'(import "holdfast:actor/log@1.0.0" {thing})')
    )


def test_an_unknown_function_is_named(engine: SandboxEngine) -> None:
    problem = problem_of(engine, storage("steal", ""))

    assert "'steal' of 'holdfast:actor/storage@1.0.0'" in problem


@pytest.mark.parametrize("version", ["1.2.0", "2.0.0", "0.9.0"])
@pytest.mark.parametrize("interface", ["storage", "instance"])
def test_a_version_that_this_host_does_not_have_is_refused_with_both_named(
    engine: SandboxEngine, version: str, interface: str
) -> None:
    text = importing("holdfast:actor/storage@1.0.0").replace(f"{interface}@1.0.0", f"{interface}@{version}")

    assert problem_of(engine, text) == (
        f"the component was built against holdfast:actor {version}, as its 'holdfast:actor/{interface}@{version}' "
        f"says; this host has {CONTRACT_VERSION}: build it against that, or deploy it to a newer host"
    )


@pytest.mark.parametrize("version", ["1.0.0", "1.0.7", CONTRACT_VERSION])
def test_a_compatible_version_runs(engine: SandboxEngine, version: str) -> None:
    text = importing(
        f"holdfast:actor/storage@{version}", f'(export "get" (func (param "key" string) {TEXT_RESULT}))'
    ).replace("holdfast:actor/instance@1.0.0", f"holdfast:actor/instance@{version}")
    component = Component(engine.engine, text)
    check_component(component, engine.engine)
    turn = TestTurn()
    sandbox = Sandbox.create(LoadedComponent(engine, component), turn, memory_bytes_max=1 << 20)

    assert sandbox.call(turn, b"run", b"", False, False) == (True, b"null")
    sandbox.close()


@pytest.mark.parametrize("version", ["0.2.0", "0.2.3", "0.2.12", "0.2.40"])
def test_wasi_is_allowed_in_any_version_of_its_second_preview(engine: SandboxEngine, version: str) -> None:
    text = importing(f"wasi:cli/environment@{version}")
    check_component(Component(engine.engine, text), engine.engine)


@pytest.mark.parametrize("signature", ['(param "when" u32)', '(param "when" u64) (result u32)', "(result u64)"])
def test_waiting_for_a_clock_has_its_own_signature_only(engine: SandboxEngine, signature: str) -> None:
    text = importing("wasi:clocks/monotonic-clock@0.2.3", f'(export "subscribe-duration" (func {signature}))')
    assert "another signature than func(u64)" in problem_of(engine, text)


@pytest.mark.parametrize("missing", ["describe", "activate", "call"])
def test_a_missing_export_is_named(engine: SandboxEngine, missing: str) -> None:
    text = minimal_wat().replace(f'(export "{missing}" (func ${missing}))', "")

    assert problem_of(engine, text) == f"the component's 'holdfast:actor/instance@1.0.0' lacks {missing}"


def test_a_missing_interface_is_named(engine: SandboxEngine) -> None:
    text = minimal_wat().replace("holdfast:actor/instance@1.0.0", "holdfast:actor/another@1.0.0")

    assert problem_of(engine, text) == f"the component does not export 'holdfast:actor/instance@{CONTRACT_VERSION}'"


@pytest.mark.parametrize("other", ["1.0.1", CONTRACT_VERSION])
def test_two_versions_of_the_exports_are_refused_when_they_are_checked_and_when_they_are_loaded(
    engine: SandboxEngine, other: str
) -> None:
    """One of them was checked and the other one called."""
    export = '(export "holdfast:actor/instance@1.0.0" (instance $exports))'
    text = minimal_wat().replace(export, f"{export}\n{export.replace('1.0.0', other)}")
    component = Component(engine.engine, text)

    assert re.search("exports '.*' and '.*', either of which this host could call", problem_of(engine, text))
    with pytest.raises(InvalidComponentError, match="export one of them"):
        LoadedComponent(engine, component)


def test_the_exports_of_another_version_are_nothing_to_this_host(engine: SandboxEngine, turn: TestTurn) -> None:
    export = '(export "holdfast:actor/instance@1.0.0" (instance $exports))'
    text = minimal_wat().replace(export, f'{export}(export "holdfast:actor/instance@2.0.0" (func $describe))')
    component = Component(engine.engine, text)
    check_component(component, engine.engine)
    sandbox = Sandbox.create(LoadedComponent(engine, component), turn, memory_bytes_max=1 << 20)

    assert sandbox.call(turn, b"run", b"", False, False) == (True, b"null")
    sandbox.close()


def test_what_is_compiled_is_the_bytes_that_were_checked(tmp_path: Path) -> None:
    path = tmp_path / "some.wasm"
    content = b"\0asm\x0d\0\1\0" + bytes(100)
    path.write_bytes(content)

    assert read_component(path, Limits()) == content


def test_an_export_with_another_signature_is_refused(engine: SandboxEngine) -> None:
    text = minimal_wat().replace('(export "call" (func $call))', '(export "call" (func $describe))')

    assert "the export 'call'" in problem_of(engine, text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no WebAssembly component: it is empty"),
        (b"(component)", "no WebAssembly component"),
        (wat2wasm("(module)"), "a core module, not a component"),
        (b"\0asm\x0d\0\1\0" + bytes(993), "the limit is 1000"),
    ],
)
def test_a_file_that_is_no_component_is_refused_before_it_is_read(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "some.wasm"
    path.write_bytes(content)
    with pytest.raises(InvalidComponentError, match=problem):
        read_component(path, Limits(component_bytes_max=1000))


@pytest.mark.limit("component_bytes_max")
def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "some.wasm"
    path.write_bytes(b"\0asm\x0d\0\1\0" + bytes(992))
    read_component(path, Limits(component_bytes_max=1000))

    path.write_bytes(b"\0asm\x0d\0\1\0" + bytes(993))
    with pytest.raises(InvalidComponentError, match="1001 bytes, the limit is 1000"):
        read_component(path, Limits(component_bytes_max=1000))
