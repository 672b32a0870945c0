"""Attacks on what lies beneath: storage, the imports past the SDK, the system, the next turn."""

import builtins
import contextlib
import gc
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from odd_things import Endless, Evil, Lingering
from wit_world.imports import calls, log, storage

from holdfast import Context, Env, Request
from holdfast import _exports as _guest

MIB = 1 << 20


class StoresOddThings:
    """Storage past every limit."""

    ctx: Context
    env: Env

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

    def surrogates_everywhere(self) -> None:
        """Through every door of the SDK that a text leaves by: each escapes it or refuses it, and none traps."""
        text, stub = "é\ud800", self.env.HOSTILE.id_from_name("other")
        doors: list[Callable[[], Any]] = [
            lambda: self.ctx.storage.put("k", text),
            lambda: self.ctx.storage.put("k", {text: (text, {text})}),
            lambda: self.ctx.storage.put_many({text: text}),
            lambda: self.ctx.storage.put_many({"k": text}),
            lambda: self.ctx.storage.get(text),
            lambda: self.ctx.storage.get_many([text]),
            lambda: self.ctx.storage.delete(text),
            lambda: self.ctx.storage.list(prefix=text),
            lambda: self.ctx.storage.list(start=text),
            lambda: self.ctx.storage.list(start_after=text),
            lambda: self.ctx.storage.list(end=text),
            lambda: list(self.ctx.storage.scan(prefix=text)),
            lambda: self.env.HOSTILE.id_from_name(text),
            lambda: getattr(stub, text)(),
            lambda: stub.noop(text),
            lambda: stub.noop(**{text: text}),
            lambda: stub.fetch(Request(f"http://other/{text}", text, {text: text}, b"")),
            lambda: stub.fetch(Request("http://other/", "GET", {"a": text}, b"\xed\xa0\x80")),
            lambda: print(text),
            lambda: logging.getLogger(text).warning(text),
        ]
        for door in doors:
            with contextlib.suppress(Exception):
                door()
        assert self.ctx.storage.get("k") == text

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


class PassesTheSdk:
    """Texts of the guest's whole memory, to imports that the SDK would not make."""

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

    def odd_text(self, what: str, shape: str) -> Any:
        """Hand the host a text that takes long to read, as an import's or as the answer; what the host said."""
        text = {
            "unclosed": "[" * 3000 + '"' + '\\"' * 120_000,
            "integers": "[" + "1," * (MIB // 2 - 2) + "1]",
            "keys": "[" + '"",' * (2 * MIB // 3 - 2) + '""]',
        }[shape]
        if what == "result":
            setattr(_guest, "plain_text", lambda _result: text)  # noqa: B010  (its types say that nobody does)
            return None
        if what == "error":
            setattr(_guest, "error_json", lambda _failure: text)  # noqa: B010
            raise ValueError("not told")
        try:
            storage.get_many(text) if what == "get_many" else calls.call("HOSTILE", "other", "noop", text)
        except BaseException as error:
            return str(getattr(error, "value", error))[:300]
        return "no error"

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


class ReachesOut:
    """Looks for what is not there."""

    ctx: Context

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
            "stdin": sys.stdin.read,
        }
        found = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                found[name] = "done"
            except BaseException as error:
                found[name] = type(error).__name__
        found["environ"] = "".join(os.environ) or "empty"
        return found

    def alarm_at(self, seconds: Any) -> str:
        """Set an alarm at the edges of time; what came of it. The alarm is cleared again."""
        try:
            self.ctx.storage.set_alarm(float(seconds) if isinstance(seconds, str) else seconds)
            self.ctx.storage.delete_alarm()
        except Exception as error:
            return type(error).__name__
        return "set"


class StaysBehind:
    """Leaves something in its own memory."""

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
