"""What a guest may try against its host, and what took hosts down before: to be kept for every new wasmtime."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from asyncio import CancelledError
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast_host.core.errors import InternalError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from holdfast_host.sandbox.settings import WASM_STACK_BYTES, thread_stack_bytes
from tests.unit.sandbox.conftest import MakeSandbox, minimal_wat
from tests.unit.sandbox.turns import TestTurn

FromWat = Callable[[str], LoadedComponent]
PROJECT = Path(__file__).parents[3]

# `(call $it ...)` in the minimal guest is this import; its signature in WIT and in core WebAssembly.
LOWERED = """
(import "{interface}" (instance $there (export "{name}" (func {signature}))))
(core module $early
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
(core instance $early (instantiate $early))
(core func $it (canon lower (func $there "{name}") (memory (core memory $early "memory"))
  (realloc (core func $early "realloc"))))
"""


def calling(interface: str, name: str, signature: str, core: str, code: str) -> str:
    return minimal_wat(
        imports=LOWERED.format(interface=interface, name=name, signature=signature),
        core_imports=f'(import "host" "it" (func $it {core}))',
        **{"with": '(with "host" (instance (export "it" (func $it))))'},
        in_call=code,
    )


@pytest.mark.slow
@pytest.mark.parametrize("escaping", [SystemExit, KeyboardInterrupt, CancelledError, MemoryError, ValueError])
def test_no_exception_escapes_a_host_function(
    make_sandbox: MakeSandbox, turn: TestTurn, escaping: type[BaseException]
) -> None:
    """One that escaped would be read as a pointer."""

    def fail(_key: bytes) -> bytes:
        raise escaping

    sandbox = make_sandbox()
    turn.dictionary.get = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(SandboxTrap) as caught:
        sandbox.call(turn, b"deposit", b"", False, False)

    assert caught.value.kind == "fault"
    assert isinstance(caught.value.__cause__, escaping)


@pytest.mark.usefixtures("ticking")
def test_no_exception_escapes_a_tick(sandbox: Sandbox, turn: TestTurn) -> None:
    def fail() -> bool:
        raise SystemExit

    turn.tick = fail  # type: ignore[method-assign]
    with pytest.raises(SandboxTrap) as caught:
        sandbox.call(turn, b"spin", b"", False, False)

    assert caught.value.kind == "fault"


@pytest.mark.parametrize(
    "most",
    [
        {"core_fields": "(memory 1024)"},
        {"core_fields": "(memory 1)" * 3},
        {"core_fields": "(table 1 funcref)" * 10},
        {"core_fields": "(table 20000 funcref)"},
        {"before_instance": "(core module $empty)" + "(core instance (instantiate $empty))" * 99},
    ],
    ids=["memory size", "memories", "tables", "table elements", "instances"],
)
def test_a_component_that_needs_all_of_a_limit_runs(
    make_sandbox: MakeSandbox, from_wat: FromWat, most: dict[str, str]
) -> None:
    make_sandbox(from_wat(minimal_wat(**most)))


@pytest.mark.limit("memory_bytes_max", "memories_max", "tables_max", "table_elements_max", "instances_max")
@pytest.mark.parametrize(
    "excess",
    [
        {"core_fields": "(memory 1025)"},
        {"core_fields": "(memory 1)" * 4},
        {"core_fields": "(table 1 funcref)" * 11},
        {"core_fields": "(table 20001 funcref)"},
        {"before_instance": "(core module $empty)" + "(core instance (instantiate $empty))" * 100},
    ],
    ids=["memory size", "memories", "tables", "table elements", "instances"],
)
def test_all_five_limits_of_a_store_hold(make_sandbox: MakeSandbox, from_wat: FromWat, excess: dict[str, str]) -> None:
    make_sandbox(from_wat(minimal_wat()))
    with pytest.raises(SandboxTrap) as caught:
        make_sandbox(from_wat(minimal_wat(**excess)))

    assert caught.value.kind == "memory"


@pytest.mark.usefixtures("ticking")
def test_a_start_that_never_ends_is_ended(make_sandbox: MakeSandbox, from_wat: FromWat, turn: TestTurn) -> None:
    component = from_wat(minimal_wat(core_fields="(func $start (loop $again (br $again))) (start $start)"))
    with pytest.raises(SandboxTrap) as caught:
        make_sandbox(component)

    assert caught.value.kind == "ended"
    assert turn.ticks == turn.ticks_max + 1


@pytest.mark.usefixtures("ticking")
def test_ticks_go_on_as_long_as_the_turn_lets_them(sandbox: Sandbox) -> None:
    turn = TestTurn(ticks_max=20)
    with pytest.raises(SandboxTrap):
        sandbox.call(turn, b"spin", b"", False, False)

    assert turn.ticks == 21


@pytest.mark.parametrize("version", ["0.2.0", "0.2.6", "0.2.12"])
@pytest.mark.parametrize("name", ["subscribe-duration", "subscribe-instant"])
def test_a_wait_for_a_clock_ends_the_guest_at_once(
    make_sandbox: MakeSandbox, from_wat: FromWat, turn: TestTurn, version: str, name: str
) -> None:
    """It would block in native code, where no epoch ends it; an hour here would hang the test."""
    poll = (
        f'(import "wasi:io/poll@{version}" (instance $poll (export "pollable" (type (sub resource)))))'
        '(alias export $poll "pollable" (type $outer))'
    )
    clock = "(instance $there "
    uses = '(alias outer 1 $outer (type $p)) (export "pollable" (type $pollable (eq $p)))'
    text = calling(
        f"wasi:clocks/monotonic-clock@{version}",
        name,
        '(param "when" u64) (result (own $pollable))',
        "(param i64) (result i32)",
        "(drop (call $it (i64.const 3600000000000)))",
    )
    text = text.replace(clock, clock + uses, 1).replace('(import "wasi:clocks', poll + '(import "wasi:clocks', 1)
    sandbox = make_sandbox(from_wat(text))
    with pytest.raises(SandboxTrap) as caught:
        sandbox.call(turn, b"", b"", False, False)

    assert caught.value.kind == "sleep"


@pytest.mark.parametrize("bytes_wanted", [1 << 40, -1])
def test_asking_for_endless_randomness_does_not_take_the_hosts_memory(
    make_sandbox: MakeSandbox, from_wat: FromWat, turn: TestTurn, bytes_wanted: int
) -> None:
    text = calling(
        "wasi:random/random@0.2.6",
        "get-random-bytes",
        '(param "len" u64) (result (list u8))',
        "(param i64 i32)",
        f"(call $it (i64.const {bytes_wanted}) (i32.const 8))",
    )
    sandbox = make_sandbox(from_wat(text))
    with pytest.raises(SandboxTrap, match="exceeds limit"):
        sandbox.call(turn, b"", b"", False, False)


def test_a_text_outside_of_the_guests_memory_is_a_trap(
    make_sandbox: MakeSandbox, from_wat: FromWat, turn: TestTurn
) -> None:
    code = "(call $it (i32.const 65530) (i32.const 1000) (i32.const 0) (i32.const 0))"
    signature = '(param "level" string) (param "text" string)'
    text = calling("holdfast:actor/log@1.0.0", "write", signature, "(param i32 i32 i32 i32)", code)
    sandbox = make_sandbox(from_wat(text))
    with pytest.raises(SandboxTrap) as caught:
        sandbox.call(turn, b"", b"", False, False)

    assert caught.value.kind == "broken"
    assert turn.lines == []


def test_a_text_that_is_not_utf8_is_a_trap(make_sandbox: MakeSandbox, from_wat: FromWat, turn: TestTurn) -> None:
    code = "(call $it (i32.const 2000) (i32.const 1) (i32.const 0) (i32.const 0))"
    signature = '(param "level" string) (param "text" string)'
    text = calling("holdfast:actor/log@1.0.0", "write", signature, "(param i32 i32 i32 i32)", code)
    memory = '(memory (export "memory") 1)'  # the first one is that of $early, which the lowered import reads
    sandbox = make_sandbox(from_wat(text.replace(memory, rf'{memory} (data (i32.const 2000) "\ff")', 1)))
    with pytest.raises(SandboxTrap) as caught:
        sandbox.call(turn, b"", b"", False, False)

    assert caught.value.kind == "broken"


def test_a_function_linked_under_another_signature_is_a_trap_and_nothing_worse(
    make_sandbox: MakeSandbox, from_wat: FromWat, turn: TestTurn
) -> None:
    """No such component passes the check at deploy; here it is past it."""
    code = "(call $it (i32.const 7) (i32.const 8))"
    signature = '(param "key" u32) (result (result string (error string)))'
    text = calling("holdfast:actor/storage@1.0.0", "get", signature, "(param i32 i32)", code)
    sandbox = make_sandbox(from_wat(text))
    with pytest.raises(SandboxTrap):
        sandbox.call(turn, b"", b"", False, False)


OTHER_ANSWERS = {
    "u64": ("i64", "(result u64)", "(i64.const 0x4141414141414141)"),
    "bool": ("i32", "(result bool)", "(i32.const 1)"),
    "text": ("i32", "(result string)", "(i32.const 1000)"),
    "result of a number": ("i32", "(result (result u32 (error string)))", "(i32.const 1000)"),
    "result of nothing": ("i32", "(result (result (error string)))", "(i32.const 1000)"),
    "nothing": ("", "", ""),
}


@pytest.mark.parametrize("flags", [(), ("-O",)], ids=["plain", "optimized"])
@pytest.mark.parametrize("public", [False, True], ids=["marshal", "public_calls"])
def test_an_answer_of_another_type_traps_its_own_sandbox_and_nothing_else(
    tmp_path: Path, flags: tuple[str, ...], public: bool
) -> None:
    """No such component passes the check at deploy; here it is past it. Its words must not be taken for addresses."""
    for name, (core, result, code) in OTHER_ANSWERS.items():
        core_result = f"(result {core})" if core else ""
        text = minimal_wat(
            core_fields=f'(func (export "other") (param i32 i32 i32 i32 i32 i32) {core_result} {code})',
        )
        text = text.replace(
            "  (instance $exports",
            '(func $other (param "method" string) (param "arguments" string) (param "typed-arguments" bool) '
            f'(param "typed-result" bool) {result} (canon lift (core func $guest "other") '
            '(memory (core memory $guest "memory")) (realloc (core func $guest "realloc"))))\n  (instance $exports',
        )
        (tmp_path / name).write_text(text.replace('(export "call" (func $call))', '(export "call" (func $other))'))
    (tmp_path / "good").write_text(minimal_wat())
    script = Path(__file__).with_name("unchecked.py")
    command = [sys.executable, *flags, str(script), str(tmp_path), str(int(public))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=PROJECT)

    assert done.returncode == 0, done.stderr
    told = {name: what for name, _, what in (line.partition(": ") for line in done.stdout.splitlines())}
    assert told.pop("good") == "null"
    assert told.keys() == OTHER_ANSWERS.keys()
    # `result<_, string>` is read as one with a text that is not there: an empty one, which is no JSON to its worker.
    assert told.pop("result of nothing") in {"", "broken"}
    assert set(told.values()) == {"broken"}


def test_a_guest_has_no_files_no_environment_no_arguments_and_no_input(sandbox: Sandbox, turn: TestTurn) -> None:
    found = json.loads(sandbox.call(turn, b"files", b"", False, False)[1])

    assert found == {
        "environ": {},
        "argv": [],
        "/": "FileNotFoundError",
        ".": "FileNotFoundError",
        "/etc/passwd": "FileNotFoundError",
        "/tmp": "FileNotFoundError",
        "listdir": "FileNotFoundError",
        "stdin": "",
    }


def test_a_guest_has_no_network(sandbox: Sandbox, turn: TestTurn) -> None:
    found = json.loads(sandbox.call(turn, b"net", b"", False, False)[1])

    refused = dict.fromkeys(("tcp", "listen", "udp"), "PermissionError")
    assert found == {**refused, "lookup": "gaierror"}


def test_what_a_guest_writes_to_stdout_goes_nowhere(
    sandbox: Sandbox, turn: TestTurn, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox.call(turn, b"shout", b"", False, False)
    captured = capfd.readouterr()

    assert (captured.out, captured.err) == ("", "")


def test_threads_have_the_stack_that_nested_guests_need(engine: SandboxEngine) -> None:
    needed = engine.limits.call_depth_max * WASM_STACK_BYTES

    assert WASM_STACK_BYTES <= 2 << 20, "a larger one aborts inside Engine()"
    assert thread_stack_bytes(engine.limits) > needed
    assert threading.stack_size() == thread_stack_bytes(engine.limits)


def test_guests_that_would_not_fit_onto_a_threads_stack_are_refused(probe_compiled: Path) -> None:
    engine = SandboxEngine(Limits(call_depth_max=2))
    component = engine.load(probe_compiled)
    refused: list[str] = []

    def descend() -> bytes:
        turn = TestTurn()
        turn.on_call = lambda *_: descend()
        try:
            sandbox = Sandbox.create(component, turn, memory_bytes_max=64 * MIB)
        except InternalError as error:
            refused.append(error.message)
            raise
        try:
            return sandbox.call(turn, b"imports", b'[["calls","call","B","n","m","{}"]]', False, False)[1]
        finally:
            sandbox.close()

    thread = threading.Thread(target=descend)
    thread.start()
    thread.join()

    assert refused == ["4 guests inside each other fill the stack of this thread: start it later"]
    assert engine.callers == {}


def test_a_damaged_compiled_component_is_an_error_not_a_crash(tmp_path: Path, probe_compiled: Path) -> None:
    cut = tmp_path / "cut.cwasm"
    cut.write_bytes(probe_compiled.read_bytes()[:100_000])
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from holdfast_host.core.errors import HostUnavailableError\nfrom holdfast_host.core.limits import Limits\n"
        "from holdfast_host.sandbox.engine import SandboxEngine\n"
        "try:\n    SandboxEngine(Limits()).load(Path(sys.argv[1]))\n"
        "except HostUnavailableError as error:\n    print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, cut], capture_output=True, text=True, check=True, timeout=60)

    assert "does not load" in done.stdout
