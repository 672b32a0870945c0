"""`python -m holdfast_host.worker.main FD`: one worker, started and watched by the supervisor.

FD is the control channel; its first line says everything else. The process ends with its supervisor.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from holdfast_host.core.child_process import calm_collector, enter_child
from holdfast_host.core.errors import ConfigurationError, HoldfastError, InternalError
from holdfast_host.core.logs import EventLog, adopt_logging, adopt_tracebacks
from holdfast_host.sandbox.engine import SandboxEngine
from holdfast_host.storage.store import OwnerLostError, TakenOverError
from holdfast_host.wire.calls.frames import PROTOCOL
from holdfast_host.wire.control.exit_codes import EXIT_BUG, EXIT_CONFIGURATION, EXIT_STORE
from holdfast_host.wire.control.protocol import Fatal, Ready, Unloadable, kind_of, pack_message, read_for_worker
from holdfast_host.wire.control.starts import WorkerStart
from holdfast_host.wire.pages.running_turns_page import RunningPage
from holdfast_host.worker.commits.backup import BackupCut
from holdfast_host.worker.control import ControlChannel, take_quotas
from holdfast_host.worker.logs.output import Output
from holdfast_host.worker.opening import begin_base, open_store, take_snapshot
from holdfast_host.worker.threads.heap import bound_free_memory
from holdfast_host.worker.threads.monitor import Monitor
from holdfast_host.worker.threads.poller import READ_BYTES
from holdfast_host.worker.worker import Worker

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.storage.store import StoreBrokenError
    from holdfast_host.worker.tracing.export import SpanExport

SWITCH_INTERVAL_S: Final = 0.0005  # a host import beside a busy thread waits 25 to 40 us instead of 535
_BACKLOG: Final = 64


class WorkerProcess:
    """Everything of one worker, put together."""

    def __init__(self, start: WorkerStart, control: socket.socket, received: bytes) -> None:
        self._start = start
        self._output = Output(
            start.worker,
            start.log_level,
            Path(start.data) / "logs" / f"w{start.worker}",
            start.limits.log_bytes_max,
            start.log_format,
        )
        limits = start.limits.replace(worker_memory_bytes=start.limits.worker_memory_bytes or _memory_share(start))
        self._store = open_store(start, limits)
        self._engine = SandboxEngine(limits)
        self._spans = _span_export(start.traces, self._output) if start.traces else None
        self._worker = Worker(
            self._store,
            self._engine,
            limits,
            self._output,
            start.routing,
            number=start.worker,
            compute_slots=max(1, (os.cpu_count() or 1) - 1),
            on_broken_store=self._end_broken,
            on_failure=self._end_on_bug,
            courier=start.courier,
            spans=self._spans,
            running_page=None if start.running_fd < 0 else RunningPage(start.running_fd),
        )
        self._worker.deployments.checks_arguments = start.check_arguments
        self._worker.mailboxes.set_quarantined(start.quarantined)
        take_quotas(self._worker, start.quotas)
        self._worker.sockets.know_fronts(start.fronts)
        self._backup = BackupCut(
            self._worker.committer, partial(take_snapshot, self._store), partial(begin_base, self._store)
        )
        self._control = ControlChannel(
            control,
            self._worker,
            self._stop,
            received,
            measures=self._measures,
            activity=self._worker.activity.report,
            backup=self._backup,
        )
        self._listener = socket.socket(fileno=start.listen_fd)
        self._listener.setblocking(False)
        self._worker.poller.add(start.listen_fd, self._accept)
        self._reached = self._store.reached()

    def run(self) -> NoReturn:
        """Load what is deployed, serve until told to stop."""
        deployments = self._worker.deployments
        deployments.set_secrets(self._start.secrets)
        for deployment in self._start.catalog.deployments:
            try:
                types = deployments.load(deployment)
            except HoldfastError as error:  # a damaged file must not keep every other function from its callers
                deployments.note_unloadable(deployment)
                self._control.send(Unloadable(deployment.function, error.message))
                continue
            deployments.prepare(deployment, types)
            deployments.switch(deployment)
            self._worker.timers.take_up_parked(each.type_id for each in deployment.types)
            self._worker.triggers.apply(deployment)
        calm_collector()
        Monitor(
            self._worker.leadership,
            self._worker.limits,
            self._engine,
            anything_waits=self._worker.loop.anything_waits,
            on_failure=self._end_on_bug,
        ).start()
        self._control.send(Ready(os.getpid()))
        self._worker.start()
        while True:
            signal.pause()

    def _measures(self) -> JsonObject:
        """What the worker has counted, and what has become of its spans, where it traces."""
        spans = {} if self._spans is None else {"spans": {**self._spans.counts}}
        return self._worker.report.read() | spans

    def _greeting(self) -> dict[str, Any]:
        partitions = {str(number): {"epoch": epoch, "group": group} for number, (epoch, group) in self._reached.items()}
        return {"protocol": PROTOCOL, "pid": os.getpid(), "worker": self._start.worker, "partitions": partitions}

    def _accept(self, events: int) -> None:
        for _ in range(_BACKLOG):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._worker.reception.welcome(connection, self._greeting)

    def _stop(self) -> None:
        """Everything is answered and settled: close and end.

        A nested turn that came after `drained` and outlives its caller may run yet: to close the store under it would
        be a crash, to end without closing is what a kill does. To close it under a backup's copy would wait for that.
        """
        if self._worker.loop.is_settled and not self._backup.copying:
            self._worker.inspection.close()
            self._store.close()
        if self._spans is not None:
            self._spans.close()
        self._output.flush()
        os._exit(0)

    def _end_broken(self, error: StoreBrokenError) -> None:
        self._output.event("error", f"the store is broken, the worker ends: {error}")
        if not isinstance(error, OwnerLostError):  # whose successor goes on
            self._control.send(Fatal(str(error)))
        self._output.flush()
        os._exit(EXIT_STORE)

    def _end_on_bug(self, error: BaseException) -> None:
        self._output.event("error", "a bug ends the worker", traceback="".join(traceback.format_exception(error)))
        self._output.flush()
        os._exit(EXIT_BUG)


def _memory_share(start: WorkerStart) -> int:
    """Half the machine's memory over the workers."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return machine // 2 // len(start.routing.addresses)


def _span_export(url: str, output: Output) -> SpanExport | None:
    """Where spans go; what it needs is loaded by a worker that traces, and by no other.

    None, which is said, where the library does not start with what is installed beside it and what the variables say.
    """

    def say(spans: int) -> None:
        event = "the collector takes no spans: is it there, and is --traces its address?"
        output.event("warning", event, lost=spans, url=url)

    try:
        from holdfast_host.worker.tracing.export import SpanExport

        return SpanExport.to(url, say)
    except Exception as error:
        output.event(
            "error", "nothing is traced: OpenTelemetry does not start", error=f"{type(error).__name__}: {error}"
        )
        return None


def read_start(control: socket.socket) -> tuple[WorkerStart, bytes]:
    """The first line of the control channel, and what came with it."""
    received = b""
    while b"\n" not in received:
        data = control.recv(READ_BYTES)
        if not data:
            sys.exit(0)
        received += data
    line, rest = received.split(b"\n", 1)
    start = read_for_worker(line)
    if not isinstance(start, WorkerStart):
        raise InternalError(f"a worker is told to {kind_of(start)!r} before it is started")
    return start, rest


def main() -> NoReturn:
    """Start as the supervisor's child."""
    control = enter_child(int(sys.argv[1]))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    bound_free_memory()
    start, rest = read_start(control)
    adopt_logging(f"worker {start.worker}", start.log_level, start.log_format)
    adopt_tracebacks(f"worker {start.worker}", start.log_format)
    try:
        process = WorkerProcess(start, control, rest)
    except ConfigurationError as error:  # the operator's to mend: a sentence, no traceback
        EventLog("error", process=f"worker {start.worker}", log_format=start.log_format).error(error.message)
        os._exit(EXIT_CONFIGURATION)
    except OwnerLostError as error:  # before it had anything to lose
        EventLog("error", process=f"worker {start.worker}", log_format=start.log_format).error(str(error))
        if isinstance(error, TakenOverError):
            control.sendall(pack_message(Fatal(str(error))))
        os._exit(EXIT_STORE)
    process.run()


if __name__ == "__main__":
    main()
