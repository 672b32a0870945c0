"""A guest that does what a test asks for; built by conftest.py against wit/ alone, without any SDK."""

import encodings.idna  # noqa: F401 - what is not imported while building does not exist later
import gc
import json
import os
import socket
import sys
import time
from collections.abc import Callable

from componentize_py_types import Err
from wit_world.imports import alarms, calls, log, storage


def _error(name: str, message: str) -> Err:
    return Err(json.dumps({"name": name, "message": message, "code": None, "status": None}))


class Methods:
    def noop(self, arguments: str) -> str:
        return "null"

    def deposit(self, arguments: str) -> str:
        text = storage.get("balance")
        balance = int(text) if text else 0
        balance += 5
        storage.put("balance", str(balance))
        return str(balance)

    def echo(self, arguments: str) -> str:
        return arguments

    def fail(self, arguments: str) -> str:
        raise _error("ActorError", "no")

    def spin(self, arguments: str) -> str:
        while True:
            pass

    def hostloop(self, arguments: str) -> str:
        while True:
            storage.get("k")

    def sleep(self, arguments: str) -> str:
        time.sleep(float(arguments))
        return "null"

    def exit(self, arguments: str) -> str:
        os._exit(3)

    def panic(self, arguments: str) -> str:
        raise ValueError("not an Err")

    def hog(self, arguments: str) -> str:
        try:
            keep = [bytearray(1 << 20) for _ in range(int(arguments))]
        except MemoryError:
            return '"MemoryError"'
        return str(len(keep))

    def deep(self, arguments: str) -> str:
        json.loads("[" * 100000)
        return "null"

    def files(self, arguments: str) -> str:
        found = {"environ": dict(os.environ), "argv": sys.argv[1:]}
        for path in ("/", ".", "/etc/passwd", "/tmp"):
            try:
                with open(path) as file:
                    found[path] = file.read()
            except OSError as error:
                found[path] = type(error).__name__
        try:
            os.listdir("/")
            found["listdir"] = "listed"
        except OSError as error:
            found["listdir"] = type(error).__name__
        found["stdin"] = sys.stdin.read()
        return json.dumps(found)

    def net(self, arguments: str) -> str:
        attempts: dict[str, Callable[[], object]] = {
            "tcp": lambda: socket.socket().connect(("127.0.0.1", 80)),
            "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
            "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53)),
            "lookup": lambda: socket.getaddrinfo("localhost", 80),
        }
        found = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                found[name] = "done"
            except Exception as error:
                found[name] = type(error).__name__
        return json.dumps(found)

    def shout(self, arguments: str) -> str:
        print("out")
        print("err", file=sys.stderr)
        return "null"

    def imports(self, arguments: str) -> str:
        """Run a list of [interface, function, arguments...]; what each answered or its error's text."""
        modules = {"storage": storage, "alarms": alarms, "calls": calls, "log": log}
        answers = []
        for interface, function, *rest in json.loads(arguments):
            try:
                answers.append(["ok", getattr(modules[interface], function)(*rest)])
            except Err as error:
                answers.append(["err", error.value])
        return json.dumps(answers)


class Instance:
    def describe(self) -> str:
        return json.dumps(
            {
                "contract": "1.0.0",
                "codec": 1,
                "fetch": False,
                "actors": [
                    {
                        "type": "Probe",
                        "doc": "A guest that does what a test asks for.",
                        "private": [],
                        "methods": [{"name": "noop", "signature": "() -> None", "doc": ""}],
                    }
                ],
            }
        )

    def activate(self, actor_type: str, name: str, environment: str) -> None:
        if actor_type == "Broken":
            raise _error("ValueError", "constructor")

    def call(self, method: str, arguments: str, typed_arguments: bool, typed_result: bool) -> str:
        try:
            run = getattr(Methods(), method)
        except AttributeError:
            raise _error("ActorUnknownMethodError", method) from None
        return str(run(arguments))

    def alarm(self, info: str) -> None:
        log.write("info", info)

    def fetch(self, request: str) -> str:
        return request


gc.collect()
gc.freeze()
