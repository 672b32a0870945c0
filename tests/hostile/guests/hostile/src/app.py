"""Actors that attack their host: each method one attack, named after what it does."""

import _thread
import asyncio
import builtins
import gc
import json
import os
import queue
import re
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from wit_world.imports import calls, log, storage

from holdfast import ActorError, Context, Env, StatefulActor

MIB = 1 << 20


class Evil:
    """Raises from wherever it is looked at."""

    def __str__(self) -> str:
        raise ValueError("str")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise ValueError("eq")

    def __hash__(self) -> int:
        raise ValueError("hash")

    def __getattribute__(self, name: str) -> Any:
        raise ValueError("attribute")


class EvilError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise EvilError

    __repr__ = __str__


class EvilBaseError(BaseException):
    """The same, which `except Exception` does not see."""

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class Endless(dict[str, Any]):
    """A dictionary without an end."""

    def items(self) -> Any:
        while True:
            yield "key", 1

    def __len__(self) -> int:
        return 1 << 40


class Lingering:
    """Loops when it is forgotten."""

    def __del__(self) -> None:
        while True:
            pass


class Hostile(StatefulActor):
    """One attack a method."""

    # A good citizen's two methods, for the instances beside.

    def good(self) -> int:
        value: int = self.ctx.storage.get("good", 0) + 1
        self.ctx.storage.put("good", value)
        return value

    def noop(self) -> None:
        pass

    # Time.

    def loop(self) -> None:
        while True:
            pass

    def loop_that_catches_everything(self) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue

    def regex_bomb(self) -> bool:
        return bool(re.match(r"(a+)+$", "a" * 60 + "b"))

    def big_power(self) -> int:
        return len(str(7 ** (10**8)))

    def storage_loop(self) -> None:
        while True:
            self.ctx.storage.get("k")

    def storage_write_loop(self) -> None:
        number = 0
        while True:
            self.ctx.storage.put("k", number)
            number += 1

    def list_loop(self) -> None:
        while True:
            self.ctx.storage.list(limit=1000)

    def sync_loop(self) -> None:
        number = 0
        while True:
            self.ctx.storage.put("k", number)
            self.ctx.storage.sync()
            number += 1

    def savepoint_loop(self) -> None:
        while True:
            storage.savepoint()

    def sleep(self) -> None:
        time.sleep(10**9)

    def sleep_in_select(self) -> None:
        select.select([], [], [], 10**6)

    def sleep_in_asyncio(self) -> None:
        asyncio.run(asyncio.sleep(10**6))

    def sleep_on_a_lock(self) -> str:
        lock = _thread.allocate_lock()
        lock.acquire()
        return str(lock.acquire(True, 10**6))

    def sleep_on_a_queue(self) -> None:
        queue.Queue[int]().get(timeout=10**6)

    async def await_for_ever(self) -> None:
        await asyncio.get_event_loop().create_future()

    # Space.

    def memory_bomb(self) -> int:
        held = []
        while True:
            held.append(bytearray(MIB))

    def memory_bomb_that_catches(self) -> None:
        held: list[Any] = []
        while True:
            try:
                while True:
                    held.append(bytearray(1000))
            except MemoryError:
                continue

    def one_big_allocation(self) -> int:
        return len(bytearray(1 << 31))

    def recursion(self) -> int:
        return self.recursion() + 1

    def recursion_without_limit(self) -> None:
        sys.setrecursionlimit(10**9)

        def down(depth: int) -> int:
            return down(depth + 1) + 1

        down(0)

    def recursion_in_c(self) -> None:
        json.loads("[" * 300_000)

    def recursion_in_repr(self) -> int:
        value: Any = []
        for _ in range(300_000):
            value = [value]
        return len(repr(value))

    # Ends.

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

    # What leaves.

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

    # What is raised.

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

    # Storage.

    def put_long_key(self) -> None:
        self.ctx.storage.put("k" * 481, 1)

    def put_long_value(self) -> None:
        self.ctx.storage.put("k", "x" * (MIB + 1))

    def put_too_many_keys(self) -> None:
        for number in range(10_001):
            self.ctx.storage.put(f"k{number}", 1)

    def put_a_million(self) -> None:
        for number in range(1_000_000):
            try:
                self.ctx.storage.put(f"k{number}", number)
            except Exception:
                continue

    def put_too_many_bytes(self) -> None:
        for number in range(17):
            self.ctx.storage.put(f"k{number}", "x" * (MIB - 100))

    def put_odd(self, what: str) -> None:
        cycle: list[Any] = []
        cycle.append(cycle)
        values: dict[str, Any] = {
            "cycle": cycle,
            "evil": Evil(),
            "function": print,
            "surrogate": "\ud800",
            "endless": Endless(),
        }
        self.ctx.storage.put("odd", values[what])

    def put_surrogate_key(self) -> None:
        self.ctx.storage.put("\ud800", 1)

    def put_nul_key(self) -> list[str]:
        self.ctx.storage.put("a\0b", 1)
        return list(self.ctx.storage.list())

    def put_reserved_key(self) -> None:
        storage.put("__holdfast_alarm", "1")

    def put_raw(self, text: str) -> Any:
        """Text that is no encoded value, past the SDK; what comes back is the guest's own trouble."""
        storage.put("raw", text)
        return storage.get("raw")

    def big_page(self) -> int:
        for number in range(12):
            self.ctx.storage.put(f"k{number:02}", "x" * (MIB - 100))
        return len(self.ctx.storage.list())

    def steal(self, name: str) -> list[str]:
        """Whatever might be another instance's key; all that is found."""
        number = [bytes(7) + bytes([each]) for each in range(16)]
        tries = [name, f"../{name}", f"Account/{name}", f"\0{name}", "balance", "good"]
        tries += [(b"\2" + each + b"balance").decode() for each in number]
        tries += [(each + b"balance").decode() for each in number]
        found = [text for text in (storage.get(key) for key in tries) if text]
        found += [str(entry) for entry in json.loads(storage.list("", None, None, None, False, 1000))["entries"]]
        found += [str(entry) for entry in json.loads(storage.list("", None, None, None, True, 1000))["entries"]]
        return found

    # Past the SDK: texts of the guest's whole memory.

    def long_import(self, what: str, mib: int, times: int) -> str:
        """Hand the host a text of many MiB, again and again; the last error."""
        # Joined, as a sum would hold three copies in a memory that the host's answer must fit in too.
        text = "".join(("[", '[],"",' * (mib * MIB // 6), "0]")) if what == "get_many" else "x" * (mib * MIB)
        said = "no error"
        for _ in range(times):
            try:
                if what == "get":
                    storage.get(text)
                elif what == "put":
                    storage.put("k", text)
                elif what == "get_many":
                    storage.get_many(text)
                elif what == "list":
                    storage.list(text, text, None, text, False, 10)
                elif what == "log":
                    log.write("info", text)
                elif what == "level":
                    log.write(text, "short")
                elif what == "call":
                    calls.call("HOSTILE", "other", "noop", text)
                elif what == "call_name":
                    calls.call("HOSTILE", text, "noop", "")
                elif what == "call_binding":
                    calls.call(text, "other", "noop", "")
            except BaseException as error:
                said = str(getattr(error, "value", error))[:300]
        return said

    def long_method(self, chars: int) -> list[str]:
        """Calls of methods with such a name, to instances of every worker; the errors' names."""
        said = []
        for number in range(8):
            try:
                calls.call("HOSTILE", f"other-{number}", "m" * chars, "")
                said.append("no error")
            except BaseException as error:
                said.append(json.loads(getattr(error, "value", '{"name":"?"}'))["name"])
        return sorted(set(said))

    def odd_calls(self) -> list[str]:
        """Calls that no SDK makes; the errors' names."""
        said = []
        for arguments in ("not json", "[" * 5_000 + "]" * 5_000, "1", '{"a":1}', "\0", "[1]" * 10):
            for method in ("noop", "__init__", "alarm", "", "\0", "good\n"):
                try:
                    calls.call("HOSTILE", "odd", method, arguments)
                    said.append("no error")
                except BaseException as error:
                    said.append(json.loads(getattr(error, "value", '{"name":"?"}'))["name"])
        return sorted(set(said))

    # What is not there.

    def reach_out(self) -> dict[str, str]:
        """Files, environment, sockets, threads, processes: what each attempt gave."""

        def thread() -> None:
            threading.Thread(target=print).start()

        attempts: dict[str, Any] = {
            "read": lambda: Path("/etc/passwd").read_text(),
            "write": lambda: Path("/tmp/x").write_text("x"),
            "data": lambda: Path("parts/00/data.mdb").read_bytes(),
            "proc": lambda: Path("/proc/self/environ").read_text(),
            "list": lambda: os.listdir("/"),
            "tcp": lambda: socket.create_connection(("127.0.0.1", 80)),
            "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53)),
            "bind": lambda: socket.socket().bind(("127.0.0.1", 0)),
            "unix": lambda: socket.socket(socket.AF_UNIX).connect("/tmp/x"),
            "thread": thread,
            "fork": lambda: os.fork(),
            "system": lambda: os.system("true"),
            "ctypes": lambda: __import__("ctypes"),
            "mmap": lambda: __import__("mmap"),
        }
        found = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                found[name] = "done"
            except BaseException as error:
                found[name] = type(error).__name__
        found["environ"] = "".join(os.environ) or "empty"
        found["stdin"] = sys.stdin.read() or "empty"
        return found

    def alarm_at(self, seconds: Any) -> str:
        """Set an alarm at the edges of time; what came of it. The alarm is cleared again."""
        try:
            self.ctx.storage.set_alarm(float(seconds) if isinstance(seconds, str) else seconds)
            self.ctx.storage.delete_alarm()
        except Exception as error:
            return type(error).__name__
        return "set"

    # What stays behind in its own memory.

    def wreck_the_sdk(self) -> None:
        """Take apart everything that the next turn of this activation needs."""
        gc.disable()
        for name in list(sys.modules):
            if name not in ("builtins", "sys"):
                del sys.modules[name]
        for name in dir(builtins):
            if name not in ("__build_class__", "__import__", "delattr", "dir"):
                try:
                    delattr(builtins, name)
                except BaseException:
                    continue

    def leave_a_destructor(self) -> None:
        self.lingering = Lingering()

    def drop_the_destructor(self) -> None:
        del self.lingering

    def trace_everything(self) -> None:
        def trace(*_: Any) -> Any:
            while True:
                pass

        sys.settrace(trace)
        sys.setprofile(trace)


class HostileInit(StatefulActor):
    """Attacks while it is made, as its name says."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        if ctx.name.startswith("endless"):
            while True:
                pass
        if ctx.name.startswith("exit"):
            os._exit(1)
        if ctx.name.startswith("raise"):
            raise EvilBaseError
        if ctx.name.startswith("memory"):
            self.held = [bytearray(MIB) for _ in range(100)]
        if ctx.name.startswith("write"):
            self.ctx.storage.put("k", 1)
            raise ValueError("written and raised")

    def noop(self) -> None:
        pass
