"""Which stage of a call a sampled stack belongs to.

A stack is judged from its innermost frame outwards: the first frame that a rule knows decides. What the rules do not
know (frames, hashes, LMDB's reads) counts for whoever called it. A rule is a file's end and the names of functions in
it; no names means all of them.

A thread that was about to sleep may be sampled as if it ran: stacks that end where threads wait are no stage's. The
front's event loop waits in C, where that cannot be told: some of its stage may be waiting.
"""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass
from typing import Final

GUEST: Final = "guest"
OTHER: Final = "everything else"
_FRAME: Final = re.compile(r"(?P<function>.+?) \((?P<file>[^():]+)(?::(?P<line>\d+))?\)$")
_GUEST_LINE: Final = "error = _call("  # where `marshal` calls into wasmtime: while a stack ends there, the guest runs
_WAITS: Final = re.compile(r"\b(sleep|acquire|wait|pause|work_queue\.get|poll)\(")  # in the line where a stack ends


@dataclass(frozen=True, slots=True)
class Rule:
    """A file (by its end) or a folder, some functions of it, and the stage of their time."""

    stage: str
    file: str
    functions: tuple[str, ...] = ()

    def knows(self, function: str, file: str) -> bool:
        """Whether a frame is this rule's."""
        is_there = self.file in file if self.file.endswith("/") else file.endswith(self.file)
        return is_there and (not self.functions or function in self.functions)


def _rules(stage: str, *files: str) -> list[Rule]:
    """`"links.py:flush,_watch"` or `"gate.py"`."""
    rules = []
    for each in files:
        file, _, functions = each.partition(":")
        rules.append(Rule(stage, file, tuple(functions.split(",")) if functions else ()))
    return rules


# In the order of a call's way, as far as the first rule that knows a frame must be the right one.
FRONT: Final = [
    *_rules(
        "read and parse HTTP",
        "aiohttp/web_protocol.py:data_received",
        "aiohttp/base_protocol.py:data_received",
        "front/known/connection.py:data_received",
        "front/known/boundary.py",
        "front/known/direct.py:recognise",
    ),
    *_rules(
        "route and check",
        "front/app.py",
        "front/http/origin_checks.py",
        "front/access/tokens.py",
        "front/http/paths.py",
        "front/functions/dispatch.py",
        "front/functions/messages.py",
        "front/http/bodies.py",
        "front/calls/arguments.py",
        "front/calls/actor_calls.py",
        "front/known/direct.py",
        "front/calls/catalog_view.py",
        "front/http/client_timeouts.py",
    ),
    *_rules(
        "frame to the worker",
        "front/worker_link.py:call,send,_send,_flush,__init__",
        "wire/calls/window.py:take,enter",
    ),
    *_rules("reply from the worker", "front/worker_link.py", "wire/calls/window.py"),
    *_rules("write the response", "front/http/answers.py", "front/known/connection.py:answer,refuse,_write"),
    *_rules(
        "the HTTP server around it",
        "front/http/server.py",
        "front/http/connection.py",
        "front/known/connection.py",
        "front/http/connection_limits.py",
        "front/http/aiohttp_internals.py",
        "aiohttp/",
    ),
    *_rules("event loop and sockets", "uvloop/", "asyncio/", "front/main.py", "front/process.py"),
]
WORKER: Final = [
    *_rules("read frames", "worker/client_connections.py:_ready,_read,_greet", "worker/reception.py"),
    *_rules(
        "mailbox",
        "worker/turns/mailboxes.py",
        "worker/turns/directory.py",
        "worker/turns/entry.py",
        "worker/calls/actor_calls.py",
    ),
    *_rules("into the sandbox and out", "sandbox/instance.py", "sandbox/marshal.py:call", "sandbox/guest.py"),
    *_rules(
        "storage imports",
        "sandbox/imports.py",
        "sandbox/marshal.py:serve",
        "worker/turns/turn.py:host_call",
    ),
    *_rules(
        "the turn around it",
        "worker/running/",
        "worker/turns/turn.py",
        "worker/turns/function_pool.py",
        "worker/turns/deployments.py",
        "worker/threads/leadership.py:in_section,pause_section,resume_section,hand_over",
        "worker/loop.py:_run_round",
    ),
    *_rules("commit", "storage/lmdb/commits.py", "worker/commits/committer.py:run,_write"),
    *_rules(
        "gate and reply",
        "worker/commits/gate.py",
        "worker/commits/replies.py",
        "worker/measures.py",
        "worker/client_connections.py:flush,_watch",
        "worker/commits/committer.py",
    ),
    *_rules("loop and monitor", "worker/"),
]
# The stages whose time the worker's own meters know; see `metered`.
METERED: Final = {
    "commit": "commit",
    GUEST: "sandbox",
    "into the sandbox and out": "sandbox",
    "storage imports": "sandbox",
}
ROLES: Final = {"front": FRONT, "worker": WORKER}


def stages_of(role: str) -> list[str]:
    """The stages of a process, in the order of its rules, the guest where it is called, the rest last."""
    names = list(dict.fromkeys(rule.stage for rule in ROLES[role]))
    if role == "worker":
        names.insert(names.index("into the sandbox and out") + 1, GUEST)
    return [*names, OTHER]


def stage_of(role: str, stack: list[str]) -> str | None:
    """The stage of one stack, outermost frame first, each as `function (file:line)`; None for a thread that waits."""
    for depth, text in enumerate(reversed(stack)):
        frame = _FRAME.match(text)
        if frame is None:
            continue
        function, file, line = frame["function"].rpartition(".")[2], frame["file"], int(frame["line"] or 0)
        if depth == 0 and _WAITS.search(linecache.getline(file, line)):
            return None
        if role == "worker" and file.endswith("sandbox/marshal.py") and function == "call":
            is_guest = linecache.getline(file, line).strip().startswith(_GUEST_LINE)
            return GUEST if is_guest else "into the sandbox and out"
        for rule in ROLES[role]:
            if rule.knows(function, file):
                return rule.stage
    return OTHER
