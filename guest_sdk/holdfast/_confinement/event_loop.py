"""An event loop for turns: asyncio's own, without anything to wait for.

Coroutines, tasks, queues and locks run as ever, within one turn. What would have to be waited for is refused where it
is asked for: time and connections never come. A wait that nothing can end any more ends with an error at its `await`.
Imported by those alone who import asyncio.
"""

from __future__ import annotations

from asyncio import base_events, events, futures, tasks
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from holdfast._confinement.denied import no_network, no_processes, no_signals, no_sleep, no_threads, refusing

_STUCK: Final = (
    "this await would never end: nothing is left in the turn that could end it, and a turn waits neither for time nor"
    " for others; for what is to happen later set an alarm (self.ctx.storage.set_alarm)"
)


if TYPE_CHECKING:
    # What of asyncio's own loop a selector stands behind; its type stubs leave all of that out.
    class _Loop(base_events.BaseEventLoop):
        _asyncgens: set[Any]
        _asyncgens_shutdown_called: bool
        _scheduled: list[Any]

        def _check_closed(self) -> None: ...
        def _check_running(self) -> None: ...

else:
    _Loop = base_events.BaseEventLoop


class TurnLoop(_Loop):
    """The loop of one activation. For one turn at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _NothingToSelect(self)
        self._started: list[tuple[Any, futures.Future[Any]]] = []
        self._send: Callable[[list[Any]], list[Any]] = list
        self._first: tasks.Task[Any] | None = None

    def run_turn(self, coroutine: Coroutine[Any, Any, Any], *, keeps_generators: bool = False) -> Any:
        """Run a coroutine to its end, and what it started with it; its result.

        Asynchronous generators end with it too, unless it keeps them: a response's body goes on in a later turn.
        """
        with no_running_loop():
            task = self._first = self.create_task(coroutine)
            task.add_done_callback(self._stop_when_done)
            try:
                self.run_forever()
                return task.result()
            finally:
                # An exception leads to this frame, and a task to its exception: no ring of these may be left.
                self._first = task = None  # type: ignore[assignment]
                self._end_the_rest(keeps_generators)

    def _stop_when_done(self, _: object) -> None:
        self.stop()

    def _end_the_rest(self, keeps_generators: bool) -> None:
        left = tasks.all_tasks(self)
        while left:
            for each in left:
                each.cancel()
            self.run_until_complete(tasks.gather(*left, return_exceptions=True))
            left = tasks.all_tasks(self)
        if self._asyncgens and not keeps_generators:
            self.run_until_complete(self.shutdown_asyncgens())
            self._asyncgens_shutdown_called = False
        self._scheduled.clear()

    def started(self, call: Any, send: Callable[[list[Any]], list[Any]]) -> futures.Future[Any]:
        """What a call that is awaited will return; it is made, with all others, when nothing else can run.

        `send` makes as many of the calls that it is given as may be made at once, and returns what became of those.
        """
        future = self.create_future()
        self._started.append((call, future))
        self._send = send
        return future

    def make_calls(self) -> bool:
        """Make calls that are awaited; whether there were any."""
        waiting = [(call, future) for call, future in self._started if not future.done()]
        if not waiting:
            self._started = []
            return False
        try:
            outcomes = self._send([call for call, _ in waiting])
        except BaseException as error:
            self._started = []
            for _, future in waiting:
                future.set_exception(error)
            return True
        self._started = waiting[len(outcomes) :]
        for (_, future), outcome in zip(waiting, outcomes, strict=False):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        return True

    def end_waits(self) -> None:
        """Nothing can run any more: have the awaits that wait fail, those of tasks before that of the coroutine.

        Raises:
            RuntimeError: There is none.
        """
        stuck = [each for each in tasks.all_tasks(self) if _waits_for_nobody(each)]
        later = [each for each in stuck if each is not self._first]
        for each in later or stuck:
            waiter: futures.Future[Any] = each._fut_waiter  # type: ignore[attr-defined]  # noqa: SLF001
            if not waiter.done():
                waiter.set_exception(RuntimeError(_STUCK))
        if not stuck:
            raise RuntimeError(_STUCK)

    def run_until_complete(self, future: Any) -> Any:
        """As ever."""
        self._check_closed()
        self._check_running()
        outer, self._first = self._first, tasks.ensure_future(future, loop=self)
        try:
            return super().run_until_complete(self._first)
        finally:
            self._first = outer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """As ever, but that nobody sleeps: timers of a timeout stand there, and never ring."""
        if callback is getattr(futures, "_set_result_unless_cancelled", None):
            raise no_sleep(f"asyncio.sleep({delay!r})")
        return super().call_later(delay, callback, *args, context=context)

    def __del__(self) -> None:
        """It holds nothing that would have to be closed."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Refused."""
        raise no_threads("asyncio.to_thread() or run_in_executor()")


def _refuse_the_rest() -> None:
    network = (
        "add_reader", "add_writer", "connect_accepted_socket", "create_connection", "create_datagram_endpoint",
        "create_server", "create_unix_connection", "create_unix_server", "getaddrinfo", "getnameinfo", "sendfile",
        "sock_accept", "sock_connect", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into",
        "sock_sendall", "sock_sendfile", "sock_sendto", "start_tls",
    )  # fmt: skip
    processes = ("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell")
    signals = ("add_signal_handler", "remove_signal_handler")
    for names, refusal in ((network, no_network), (processes, no_processes), (signals, no_signals)):
        for name in names:
            setattr(TurnLoop, name, refusing(refusal, f"asyncio: {name}()"))


_refuse_the_rest()


class _NothingToSelect:
    """Stands for a selector: where asyncio would wait, nothing can come."""

    def __init__(self, loop: TurnLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout != 0 and not self._loop.make_calls():
            self._loop.end_waits()
        return []


def _waits_for_nobody(task: tasks.Task[Any]) -> bool:
    """Whether a task waits, and not for tasks."""
    waiter = getattr(task, "_fut_waiter", None)
    return waiter is not None and not isinstance(waiter, tasks.Task) and not getattr(waiter, "_children", None)


@contextmanager
def no_running_loop() -> Iterator[None]:
    """Within it no loop runs on this thread, whoever has called us."""
    outer = events._get_running_loop()  # noqa: SLF001
    if outer is None:
        yield
        return
    # From 3.12 on a thread has one current task; before that each loop has its own.
    swap: Callable[[Any, Any], Any] = getattr(tasks, "_swap_current_task", lambda loop, task: None)
    task = swap(outer, None)
    events._set_running_loop(None)  # noqa: SLF001
    try:
        yield
    finally:
        events._set_running_loop(outer)  # noqa: SLF001
        swap(outer, task)
