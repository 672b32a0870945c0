"""Attacks by what leaves an instance: its end, its results, its errors, its output."""

import os
import signal
import sys
from typing import Any

from odd_things import Endless, Evil, EvilBaseError, EvilError
from wit_world.imports import log

from holdfast import ActorError

MIB = 1 << 20


class EndsBadly:
    """Takes its sandbox down."""

    def os_exit(self) -> None:
        os._exit(3)

    def sys_exit(self) -> None:
        sys.exit(3)

    def abort(self) -> None:
        os.abort()

    def kill_itself(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def raise_signal(self) -> None:
        signal.raise_signal(signal.SIGSEGV)


class SaysOddThings:
    """Returns, prints and raises what it should not."""

    def big_result(self, mib: int) -> str:
        return "x" * (mib * MIB)

    def result_that_is_no_json(self) -> Any:
        return lambda: None

    def result_with_a_cycle(self) -> Any:
        value: list[Any] = []
        value.append(value)
        return value

    def deep_result(self) -> Any:
        value: Any = []
        for _ in range(150):
            value = [value]
        return value

    def evil_result(self) -> Any:
        return Evil()

    def endless_result(self) -> Any:
        return Endless()

    def generator_result(self) -> Any:
        while True:
            yield 1

    def surrogate_result(self) -> str:
        return "\ud800"

    def nul_result(self) -> str:
        return "\0"

    def nan_result(self) -> float:
        return float("nan")

    def huge_integer_result(self) -> int:
        return 1 << 100_000

    def log_storm(self) -> None:
        for number in range(10_000_000):
            print(number)

    def long_log_lines(self) -> None:
        for _ in range(50):
            print("x" * (10 * MIB))

    def odd_log_lines(self) -> None:
        print("\0 \ud800 \x1b[2J \u2028 line")
        log.write("no such level", "a\nb\rc")

    def raise_something(self, what: str) -> None:
        raised = {
            "keyboard interrupt": KeyboardInterrupt(),
            "system exit": SystemExit(7),
            "generator exit": GeneratorExit(),
            "stop iteration": StopIteration(),
            "recursion": RecursionError("a" * MIB),
            "unprintable": EvilError(),
            "unprintable base": EvilBaseError(),
            "long": ValueError("x" * (8 * MIB)),
            "surrogate": ValueError("\ud800\0"),
            "group": BaseExceptionGroup("g", [EvilBaseError(), KeyboardInterrupt()]),
            "evil argument": ValueError(Evil()),
        }
        raise raised[what]

    def raise_in_a_ring(self) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    def raise_deep(self) -> None:
        error: BaseException = ValueError("bottom")
        for number in range(5_000):
            above = ValueError(number)
            above.__cause__ = error
            error = above
        raise error

    def refuse(self, status: Any, code_chars: int) -> None:
        raise ActorError("x" * 100_000, code="c" * code_chars, status=status)
