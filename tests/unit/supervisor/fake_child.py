"""A worker or front that does nothing but speak the control protocol: `fake_child.py ROLE FD`.

What it sees goes to `events` in the folder HOLDFAST_FAKE, one word group a line; how it misbehaves is read from
`behaviour` there, one word a line, at every message. It answers on its listening socket: a worker with its pid and
catalog, a front by passing a request on to the supervisor.
"""

import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from holdfast_host.core.process import enter_child
from holdfast_host.wire.control import pack_message, unpack_message

FOLDER = Path(os.environ["HOLDFAST_FAKE"])
ROLE = sys.argv[1]


def note(*words: object) -> None:
    with (FOLDER / "events").open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def told_to(behaviour: str) -> bool:
    try:
        return f"{ROLE} {behaviour}" in (FOLDER / "behaviour").read_text().splitlines()
    except FileNotFoundError:
        return False


class FakeChild:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.partial = b""
        self.me = ROLE
        self.runs: dict[str, int] = {}
        self.listener: socket.socket | None = None
        self.callers: dict[int, socket.socket] = {}
        self.draining = False

    def run(self) -> None:
        while True:
            watched = [self.control, *([self.listener] if self.listener else [])]
            for ready in select.select(watched, [], [])[0]:
                if ready is self.control:
                    data = self.control.recv(1 << 20)
                    if not data:
                        os._exit(3)
                    *lines, self.partial = (self.partial + data).split(b"\n")
                    for line in lines:
                        self.receive(unpack_message(line))
                elif self.listener:
                    self.serve(self.listener.accept()[0])

    def send(self, kind: str, **facts: object) -> None:
        self.control.sendall(pack_message(kind, **facts))

    def receive(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "start":
            self.start(message)
        elif kind == "ping":
            if not told_to("ignore-pings"):
                self.send("pong", id=message["id"])
        elif kind in {"prepare", "switch", "remove"}:
            self.change(kind, message)
        elif kind == "catalog":
            note(self.me, "catalog", *(each["version"] for each in message["catalog"]["deployments"]))
        elif kind == "drain":
            note(self.me, "drain")
            if self.listener:
                self.listener.close()
                self.listener = None
            if not told_to("never-drain"):
                note(self.me, "drained")
                self.send("drained")
        elif kind == "stop":
            note(self.me, "stop")
            os._exit(0)
        elif kind in {"answer", "progress"}:
            caller = self.callers[message["id"]]
            caller.sendall(json.dumps(message).encode() + b"\n")
            if kind == "answer":
                self.callers.pop(message["id"]).close()

    def start(self, message: dict[str, Any]) -> None:
        self.me = f"{ROLE}{message[ROLE]}"
        if told_to("die-at-start"):
            note(self.me, "dies")
            os._exit(7)
        if told_to("never-ready"):
            return
        if told_to("start-slowly"):
            time.sleep(0.3)
        self.runs = {each["function"]: each["version"] for each in message["catalog"]["deployments"]}
        note(self.me, "starts", *(f"{name}:{version}" for name, version in self.runs.items()))
        self.listener = socket.socket(fileno=message["listen_fd"])
        self.send("ready", pid=os.getpid(), partitions=[])

    def change(self, kind: str, message: dict[str, Any]) -> None:
        deployment = message.get("deployment") or {"function": message.get("function"), "version": 0}
        note(self.me, kind, deployment["version"])
        if told_to(f"die-at-{kind}"):
            os._exit(9)
        while told_to(f"wait-at-{kind}"):
            time.sleep(0.01)
        if told_to(f"refuse-{kind}"):
            self.send("done", id=message["id"], error={"name": "InvalidComponentError", "message": "refused"})
            return
        if kind == "switch":
            self.runs[deployment["function"]] = deployment["version"]
        self.send("done", id=message["id"], error=None)

    def serve(self, caller: socket.socket) -> None:
        line = caller.makefile("rb").readline()
        if not line:
            caller.close()
            return
        asked = json.loads(line)
        if asked["operation"] == "who":
            caller.sendall(json.dumps({"pid": os.getpid(), "runs": self.runs}).encode() + b"\n")
            caller.close()
        elif asked["operation"] == "fatal":
            self.send("fatal", reason="Input/output error")
            os._exit(74)
        else:
            number = len(self.callers) + 1
            self.callers[number] = caller
            self.send("request", id=number, **asked)


if __name__ == "__main__":
    FakeChild(enter_child(int(sys.argv[2]))).run()
