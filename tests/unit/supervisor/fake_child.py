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

from holdfast_host.core.child_process import enter_child
from holdfast_host.wire.control.messages import Failure, Message
from holdfast_host.wire.control.protocol import (
    Answer,
    Done,
    Drain,
    Drained,
    Failed,
    Fatal,
    NewCatalog,
    Ping,
    Pong,
    Prepare,
    Progress,
    Ready,
    Remove,
    Stop,
    Switch,
    kind_of,
    pack_message,
    read_for_front,
    read_for_worker,
)
from holdfast_host.wire.control.starts import FrontStart, WorkerStart

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
                        self.receive(read_for_worker(line) if ROLE == "worker" else read_for_front(line))
                elif self.listener:
                    self.serve(self.listener.accept()[0])

    def send(self, message: Message) -> None:
        self.control.sendall(pack_message(message))

    def receive(self, message: Message) -> None:
        match message:
            case WorkerStart() | FrontStart():
                self.start(message)
            case Ping():
                if not told_to("ignore-pings"):
                    self.send(Pong(message.id))
            case Prepare() | Switch():
                self.change(message, message.deployment.function, message.deployment.version)
            case Remove():
                self.change(message, message.function, 0)
            case NewCatalog():
                note(self.me, "catalog", *(each.version for each in message.catalog.deployments))
            case Drain():
                note(self.me, "drain")
                if self.listener:
                    self.listener.close()
                    self.listener = None
                if not told_to("never-drain"):
                    note(self.me, "drained")
                    self.send(Drained())
            case Stop():
                note(self.me, "stop")
                os._exit(0)
            case Answer() | Progress():
                self.callers[message.id].sendall(pack_message(message))
                if isinstance(message, Answer):
                    self.callers.pop(message.id).close()

    def start(self, message: WorkerStart | FrontStart) -> None:
        self.me = f"{ROLE}{message.worker if isinstance(message, WorkerStart) else message.front}"
        if told_to("die-at-start"):
            note(self.me, "dies")
            os._exit(7)
        if told_to("never-ready"):
            return
        if told_to("start-slowly"):
            time.sleep(0.3)
        self.runs = {each.function: each.version for each in message.catalog.deployments}
        note(self.me, "starts", *(f"{name}:{version}" for name, version in self.runs.items()))
        self.listener = socket.socket(fileno=message.listen_fd)
        self.send(Ready(os.getpid()))

    def change(self, message: Prepare | Switch | Remove, function: str, version: int) -> None:
        kind = kind_of(message)
        note(self.me, kind, version)
        if told_to(f"die-at-{kind}"):
            os._exit(9)
        while told_to(f"wait-at-{kind}"):
            time.sleep(0.01)
        if told_to(f"refuse-{kind}"):
            self.send(Failed(message.id, Failure("InvalidComponentError", "refused")))
            return
        if isinstance(message, Switch):
            self.runs[function] = version
        self.send(Done(message.id))

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
            self.send(Fatal("Input/output error"))
            os._exit(74)
        else:
            number = len(self.callers) + 1
            self.callers[number] = caller
            operation = {"operation": asked["operation"], **asked["arguments"]}
            request = json.dumps({"kind": "request", "id": number, "operation": operation})
            self.control.sendall(request.encode() + b"\n")


if __name__ == "__main__":
    FakeChild(enter_child(int(sys.argv[2]))).run()
