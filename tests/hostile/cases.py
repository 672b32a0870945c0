"""The corpus: what is tried, and by which name a host must answer it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.harness.caller import Answer, Caller
from tests.harness.terminals import NAME
from tests.hostile import wat

OK = "200"


@dataclass(frozen=True, slots=True)
class Case:
    """One attack. `expected` are the names of errors, or "200"; `message` is a pattern that its message contains."""

    name: str
    expected: tuple[str, ...]
    attempt: Callable[[Caller], Answer]
    message: str = ""
    quick: bool = True  # part of the short form

    def fits(self, answer: Answer) -> bool:
        """Whether that is what was expected."""
        named = (answer.error or str(answer.status)) in self.expected
        return named and re.search(self.message, answer.text) is not None


def seen(answer: Answer) -> str:
    """An answer as the table shows it."""
    return answer.error or f"{answer.status} {answer.text[:60]}"


def deploy_bare(caller: Caller, function: str, component: bytes) -> Answer:
    """Deploy a component without a manifest."""
    return caller.request("PUT", f"/v1/functions/{function}", component, {"content-type": "application/wasm"})


def _deploying(name: str, component: Callable[[], bytes]) -> Callable[[Caller], Answer]:
    return lambda caller: deploy_bare(caller, name.replace("_", "-"), component())


def _running(name: str) -> Callable[[Caller], Answer]:
    """Deploy a hand-made component, call its one method, and undeploy it."""

    def attempt(caller: Caller) -> Answer:
        function = name.replace("_", "-")
        deployed = deploy_bare(caller, function, wat.component(name))
        if deployed.status not in {200, 201}:
            return deployed
        answer = caller.call(wat.type_of(name), "somebody", "run", {"argument": "x" * 100})
        caller.request("DELETE", f"/v1/functions/{function}")
        return answer

    return attempt


def _calling(method: str, *arguments: Any, name: str = "", again: int = 1) -> Callable[[Caller], Answer]:
    """Call a method of the hostile actor, `again` times on the same name; the last answer."""

    def attempt(caller: Caller) -> Answer:
        for _ in range(again - 1):
            caller.call("Hostile", name or method, method, *arguments)
        return caller.call("Hostile", name or method, method, *arguments)

    return attempt


def _painting(method: str) -> Callable[[Caller], Answer]:
    """Call a method whose texts are for a terminal, of an instance whose name is."""
    return lambda caller: caller.call("HostileText", NAME, method)


def _in_turn(*calls: tuple[Any, ...]) -> Callable[[Caller], Answer]:
    """Several calls to one instance; the last answer."""

    def attempt(caller: Caller) -> Answer:
        *first, last = calls
        for each in first:
            caller.call("Hostile", str(calls[0][0]), *each)
        return caller.call("Hostile", str(calls[0][0]), *last)

    return attempt


_TYPED = {"content-type": "application/vnd.holdfast+json"}


def _keys_in_keys(levels: int) -> str:
    """A value whose plain text is twice as long with each level."""
    value = '{"$hf":"dict","v":[["\\"",0]]}'
    for _ in range(levels):
        value = f'{{"$hf":"dict","v":[[{value},0]]}}'
    return value


def _sets_in_sets(levels: int, elements: int) -> str:
    """A value whose parts are put in order again on each level."""
    value = ",".join(map(str, range(elements)))
    for level in range(levels):
        value = f'{{"$hf":"frozenset","v":[{value},"{level}"]}}'
    return value


def _zones(count: int) -> str:
    return json.dumps([{"$hf": "datetime", "v": f"2026-11-01T00:00:00+01:00[Mars/{at}]"} for at in range(count)])


def _looking(text: str, *, page: bool = False) -> Callable[[Caller], Answer]:
    """Have the hostile actor store a text past its SDK, and look at it."""

    def attempt(caller: Caller) -> Answer:
        caller.call("Hostile", "looked-at", "put_raw", text)
        return caller.request("GET", f"/v1/instances/Hostile/looked-at/storage{'' if page else '/raw'}")

    return attempt


def _putting(text: str) -> Callable[[Caller], Answer]:
    return lambda caller: caller.request("PUT", "/v1/instances/Hostile/put/storage/k", text, _TYPED)


def _passing(text: str) -> Callable[[Caller], Answer]:
    return lambda caller: caller.request("POST", "/v1/actors/Hostile/passed/noop", f"[{text}]", _TYPED)


INVALID = ("InvalidComponentError",)
TRAP = ("ActorTrapError",)
LATE = ("ActorMethodTimeoutError",)
RAISED = ("ActorMethodError",)


def deploy_cases(component_bytes_max: int, real: bytes) -> list[Case]:
    """What is refused when it is deployed. `real` is a component that is good, to be cut short."""
    made = [
        ("no_interface", "does not export 'holdfast:actor/instance"),
        ("missing_call", "lacks call"),
        ("two_exports", "instance@1.0.0' and 'holdfast:actor/instance@1.0.1'.*either of which|export one of them"),
        ("wrong_export", "the export 'call'"),
        ("wrong_signature", "another signature"),
        ("unknown_function", "'steal' of"),
        ("unknown_interface", "telepathy@1.0.0"),
        ("wasi_http", "wasi:http"),
        ("bare_function_import", "'system'"),
        ("future_parameter", "requires the component model"),
        ("stream_parameter", "requires the component model"),
        ("memory_too_large", "memory is larger than the limit"),
        ("many_tables", "tables are larger than the limit"),
        ("exploding_start", "aborted"),
        ("endless_start", "within 10 s"),
        ("endless_describe", "within 10 s"),
        ("describe_no_json", "is not JSON"),
        ("describe_deep", "is not JSON"),
        ("describe_50_mb", "52428800 bytes, the limit is"),
        ("describe_outside", "pointer|out of bounds"),
    ]
    slow = {"endless_describe", "endless_start"}
    texts = {
        "10,000 types": (lambda: wat.assemble(wat.with_types(10_000)), "10000 actor types, the limit is"),
        "10,000 methods": (lambda: wat.assemble(wat.with_methods(10_000)), "10000 methods of"),
        "types of 65,536 parts": (lambda: wat.assemble(wat.nested_types(16)), "another signature"),
        "types of a trillion parts": (lambda: wat.assemble(wat.nested_types(40)), "does not compile"),
        "not wasm": (lambda: b"#!/bin/sh\nrm -rf /\n", "no WebAssembly component"),
        "nothing": (lambda: b"", "no WebAssembly component"),
        "WAT text": (lambda: wat.text_of("unreachable").encode(), "no WebAssembly component"),
        "a core module": (lambda: wat.assemble("(module)"), "a core module"),
        "truncated": (lambda: real[: len(real) // 2], "does not compile"),
        "magic and noise": (lambda: real[:8] + bytes(range(256)) * 100, "does not compile"),
    }
    cases = [
        Case(name, INVALID, _deploying(name, partial(wat.component, name)), message, name not in slow)
        for name, message in made
    ]
    cases += [
        Case(name, INVALID, _deploying(re.sub("[^a-z]+", "-", f"a{name.lower()}z"), make), message)
        for name, (make, message) in texts.items()
    ]
    cases.append(
        Case(
            "over the size limit",
            ("PayloadTooLargeError",),
            _deploying("big", lambda: real[:8] + bytes(component_bytes_max)),
            "exceeds the limit of",
        )
    )
    cases.append(
        Case(
            "compile bomb",
            INVALID,
            _deploying("bomb", lambda: wat.assemble(wat.bomb(4000, 4000))),
            "of CPU to compile",
            quick=False,
        )
    )
    return cases


def wat_cases() -> list[Case]:
    """What a hand-made component does when it is called."""
    made = {
        "result_utf16": (TRAP, "is not JSON"),
        "result_bom": (TRAP, "is not JSON"),
        "result_nan": (TRAP, "is not JSON"),
        "result_deep": (("LimitError",), "nested"),
        "result_lines": ((OK,), ""),
        "result_not_utf8": (TRAP, ""),
        "result_outside": (TRAP, ""),
        "result_60_mb": (("LimitError",), "62914560 bytes, the limit of a result is"),
        "error_60_mb": (("ActorTrapError", "LimitError"), "bytes"),
        "error_no_json": (RAISED, "gave no message"),
        "error_forged": (RAISED, "forged"),
        "bad_discriminant": (TRAP, ""),
        "division_by_zero": (TRAP, ""),
        "wild_load": (TRAP, "out of bounds"),
        "unreachable": (TRAP, "aborted"),
        "deep_wasm_recursion": (TRAP, "recursed too deep"),
        "wild_realloc": (TRAP, ""),
        "grow_for_ever": (LATE, ""),
        "endless_realloc": (LATE, ""),
    }
    slow = {"grow_for_ever", "endless_realloc", "unreachable", "wild_load"}
    return [
        Case(name, *what, quick=name not in slow)
        for name, what in ((n, (e, _running(n), m)) for n, (e, m) in made.items())
    ]


def call_cases() -> list[Case]:
    """What the Python actor does when it is called. Its own time limit is a second."""
    return [
        *(
            Case(method.replace("_", " "), LATE, _calling(method), "over its budget of 1 s")
            for method in (
                "loop", "loop_that_catches_everything", "regex_bomb", "big_power", "sync_loop",
                "memory_bomb_that_catches",
            )
        ),
        *(
            Case(method.replace("_", " "), LATE + TRAP, _calling(method), "over its budget|host calls in one turn")
            for method in ("storage_loop", "storage_write_loop", "list_loop", "log_storm", "put_a_million")
        ),
        Case("savepoint loop", RAISED, _calling("savepoint_loop"), "savepoint 101 deep"),
        Case("time.sleep(10**9)", RAISED, _calling("sleep"), "cannot sleep"),
        Case("sleep in select", RAISED, _calling("sleep_in_select"), "no network"),
        Case("sleep in asyncio", RAISED, _calling("sleep_in_asyncio")),
        Case("sleep on a lock", RAISED, _calling("sleep_on_a_lock"), "no threads"),
        Case("sleep on a queue", RAISED, _calling("sleep_on_a_queue"), "no threads"),
        Case("await for ever", RAISED, _calling("await_for_ever")),
        Case("memory bomb", RAISED, _calling("memory_bomb"), "MemoryError"),
        Case("after it had filled its memory", (OK,), _in_turn(("hoard",), ("count_hoarded",)), "^0$"),
        *(
            Case(f"refused {what}s", (OK,), _calling("refused_again_and_again", what, 20, name=what, again=5), said)
            for what, said in {"put": "LimitError", "call": "ActorCallError"}.items()
        ),
        Case("2 GiB at once", RAISED, _calling("one_big_allocation"), "MemoryError|OverflowError"),
        Case("recursion", RAISED, _calling("recursion"), "RecursionError"),
        Case("recursion without a limit", TRAP, _calling("recursion_without_limit")),
        Case("recursion in C", TRAP, _calling("recursion_in_c")),
        Case("recursion in repr", TRAP, _calling("recursion_in_repr")),
        Case("os._exit", TRAP, _calling("os_exit"), "exited|aborted"),
        Case("sys.exit", RAISED, _calling("sys_exit"), "SystemExit"),
        Case("os.abort", TRAP, _calling("abort")),
        Case("kill itself", RAISED, _calling("kill_itself")),
        Case("raise a signal", TRAP, _calling("raise_signal")),
        Case("result of 100 MB", RAISED, _calling("big_result", 100), "MemoryError"),
        Case("result of 8 MB", ("LimitError",), _calling("big_result", 8), "the limit of a result is 1048576 bytes"),
        *(
            Case(method.replace("_", " "), ("CodecError",), _calling(method))
            for method in ("result_that_is_no_json", "result_with_a_cycle", "evil_result", "generator_result")
        ),
        Case("result nested 150 deep", ("CodecError",), _calling("deep_result")),
        Case("result without end", ("CodecError",), _calling("endless_result")),
        Case("result with a lone surrogate", (OK,), _calling("surrogate_result"), re.escape('"\\ud800"')),
        Case("result with NUL", (OK,), _calling("nul_result"), re.escape('"\\u0000"')),
        Case("result NaN", (OK,), _calling("nan_result"), "^null$"),
        Case("result of 30,000 digits", (OK,), _calling("huge_integer_result"), "0x"),
        Case("log lines of 10 MB", (OK, *LATE), _calling("long_log_lines")),
        Case("odd log lines", (OK,), _calling("odd_log_lines")),
        *(
            Case(f"takes over a terminal: {method}", named, _painting(method))
            for method, named in {"paint": (OK,), "refuse": ("ActorError",), "fail": RAISED}.items()
        ),
        *(
            Case(f"raise: {what}", RAISED, _calling("raise_something", what, name="raiser"))
            for what in (
                "keyboard interrupt", "system exit", "generator exit", "stop iteration", "recursion", "unprintable",
                "unprintable base", "long", "surrogate", "group", "evil argument",
            )
        ),
        Case("raise in a ring", RAISED, _calling("raise_in_a_ring")),
        Case("raise 5,000 deep", RAISED + TRAP + LATE, _calling("raise_deep")),
        Case("refuse with status 200", RAISED, _calling("refuse", 200, 5)),
        Case("refuse with a code of 8 MB", ("LimitError",), _calling("refuse", 409, 8 << 20)),
        Case("key of 481 bytes", RAISED, _calling("put_long_key"), "LimitError.*481"),
        Case("value of 1 MiB and 1", RAISED, _calling("put_long_value"), "LimitError"),
        Case("10,001 keys in a turn", RAISED + LATE, _calling("put_too_many_keys"), "10001 keys|over its budget"),
        Case("17 MB in a turn", RAISED + LATE, _calling("put_too_many_bytes"), "LimitError.*16777216|over its budget"),
        Case("page past 8 MiB", RAISED, _calling("big_page"), "LimitError"),
        Case("key with a lone surrogate", RAISED, _calling("put_surrogate_key")),
        Case("key with NUL", (OK,), _calling("put_nul_key"), re.escape('["a\\u0000b"]')),
        Case("reserved key", RAISED, _calling("put_reserved_key"), "reserved"),
        Case("lone surrogates in every text", (OK,), _calling("surrogates_everywhere"), "^null$"),
        *(
            Case(f"{what} whose keys hold dicts", refused, attempt)
            for what, refused, attempt in (
                ("a look at a value", ("CodecError",), _looking(_keys_in_keys(28))),
                ("a page with a value", (OK,), _looking(_keys_in_keys(28), page=True)),
                ("a typed PUT", ("BadRequestError",), _putting(_keys_in_keys(28))),
                ("typed arguments", ("CodecError",), _passing(_keys_in_keys(28))),
            )
        ),
        *(
            Case(f"a typed PUT of {what}", (OK,), _putting(text))
            for what, text in {
                "sets in sets": _sets_in_sets(45, 100_000),
                "a thousand zones that are none": _zones(1_000),
            }.items()
        ),
        Case("a text that is no value", (OK,), _calling("put_raw", "not a value")),
        Case("an empty value", (OK,), _calling("put_raw", "")),
        *(
            Case(f"put: {what}", RAISED, _calling("put_odd", what, name="putter"))
            for what in ("cycle", "evil", "function")
        ),
        Case("put: endless", RAISED, _calling("put_odd", "endless", name="putter")),
        Case("put: lone surrogate", (OK,), _calling("put_odd", "surrogate", name="putter")),
        Case("another instance's key", (OK,), _calling("steal", "good-0"), r"^\[\]$"),
        *(
            Case(f"import of 6 MB: {what}", named, _calling("long_import", what, 6, 6), said)
            for what, (named, said) in {
                "get": ((OK,), "LimitError.*key of 6291456 bytes"),
                "put": ((OK,), "LimitError.*value of 6291456 bytes"),
                "get_many": ((OK,), "LimitError.*get_many of keys"),
                "list": (TRAP, ""),
                "log": ((OK,), "no error"),
                "level": ((OK,), "no error"),
                "call": ((OK,), "LimitError"),
                "call_name": ((OK,), "InvalidNameError"),
                "call_binding": ((OK,), "InvalidNameError"),
            }.items()
        ),
        Case("method of 70,000 characters", (OK,), _calling("long_method", 70_000), "InvalidNameError"),
        Case("odd calls", (OK, *LATE), _calling("odd_calls")),
        Case("files, sockets, threads", (OK,), _calling("reach_out"), r"^(?!.*\"done\").*\"environ\":\"empty\""),
        *(
            Case(f"alarm at {str(at)[:20]}", (OK,), _calling("alarm_at", at, name="alarms"), f"^{json.dumps(said)}$")
            for said, edges in {
                "set": (1e9, 1e11),
                "ValueError": (0, -1, -(10**30), 253402300799, 253402300800, "nan", "inf", "-inf", "1e308", 10**400),
                "TypeError": (None,),
            }.items()
            for at in edges
        ),
        Case("after it took the SDK apart", (*RAISED, *TRAP, OK), _in_turn(("wreck_the_sdk",), ("noop",))),
        Case(
            "a destructor that loops",
            LATE,
            _in_turn(("leave_a_destructor",), ("drop_the_destructor",)),
        ),
        Case("a trace that loops", (*LATE, OK), _in_turn(("trace_everything",), ("noop",))),
        Case("the same name traps 50 times", TRAP, _calling("recursion_in_c", name="again", again=50)),
        Case("the same name exits 50 times", TRAP, _calling("os_exit", name="again", again=50)),
        Case("the same name after all that", (OK,), _calling("noop", name="again")),
        *(
            Case(f"constructor: {what}", expected, _constructing(what))
            for what, expected in {
                "endless": LATE,
                "exit": TRAP,
                "raise": ("ActorInitError",),
                "memory": ("ActorInitError",),
                "write": ("ActorInitError",),
            }.items()
        ),
        Case("endless constructor, 5 times", LATE, _constructing("endless", again=5), quick=False),
    ]  # fmt: skip


def crowd_cases() -> list[Case]:
    """Many names at once, each with the same attack."""
    return [
        Case("64 names spin", LATE, _crowding("loop", 64)),
        Case("8 names loop over storage", LATE + TRAP, _crowding("storage_loop", 8)),
        Case("8 names write to their log", LATE + TRAP, _crowding("log_storm", 8)),
        Case("8 names sync", LATE + TRAP, _crowding("sync_loop", 8)),
        Case("64 names take all memory", RAISED + LATE, _crowding("memory_bomb", 64)),
        Case("64 names trap", RAISED + TRAP, _crowding("recursion_in_c", 64)),
        Case("8 names hand over 6 MB", (OK, *LATE, *TRAP), _crowding("long_import", 8, "get_many", 6, 20)),
        Case("300 names spin", ("HostUnavailableError", *LATE), _crowding("loop", 300), quick=False),
    ]


def _crowding(method: str, names: int, *arguments: Any) -> Callable[[Caller], Answer]:
    """Call it on many names at once. The answer that was least expected: the first that differs from the others."""

    def attempt(caller: Caller) -> Answer:
        def one(number: int) -> Answer:
            with caller.another() as mine:
                return mine.call("Hostile", f"crowd-{method}-{number}", method, *arguments)

        with ThreadPoolExecutor(names) as pool:
            answers = list(pool.map(one, range(names)))
        by_error: dict[str, list[Answer]] = {}
        for answer in answers:
            by_error.setdefault(answer.error, []).append(answer)
        return min(by_error.values(), key=len)[0]

    return attempt


def _constructing(what: str, again: int = 1) -> Callable[[Caller], Answer]:
    def attempt(caller: Caller) -> Answer:
        for _ in range(again - 1):
            caller.call("HostileInit", what, "noop")
        return caller.call("HostileInit", what, "noop")

    return attempt
