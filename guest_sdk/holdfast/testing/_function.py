"""A function's turns: scheduled ones, and requests, whose body may come in pieces that a test takes one by one."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from holdfast._http import Request, Response, has_body_to_follow
from holdfast.testing._failures import RefusedError
from holdfast.testing._turn import Turn

if TYPE_CHECKING:
    from holdfast.testing._runner import Runner
    from holdfast.testing._sandbox import Sandbox
    from holdfast.testing._turn import Stream


_BODILESS: Final = frozenset({204, 205, 304})


class BrokenOffError(ConnectionError):
    """The function failed while its client took the body: the connection is cut. The function's log says why."""


class FunctionBody(Iterator[bytes]):
    """The body of a response in pieces: the function's code runs for each when a test asks for it."""

    def __init__(self, run: Callable[[bool], str]) -> None:
        """`run(close)` gives the next piece as base64, empty at the end; RefusedError where the function failed."""
        self._run: Callable[[bool], str] | None = run

    def __next__(self) -> bytes:
        """The next piece; BrokenOffError where there is none because the function failed."""
        run, self._run = self._run, None
        if run is None:
            raise StopIteration
        try:
            text = run(False)
        except RefusedError as failure:
            raise BrokenOffError(failure.message) from None
        if not text:
            raise StopIteration
        self._run = run
        return binascii.a2b_base64(text)

    def close(self) -> None:
        """Go, as a client does that wants no more: the function's `finally` runs. What fails there is in its log."""
        run, self._run = self._run, None
        if run is not None:
            try:
                run(True)
            except RefusedError:
                return


class PiecewiseResponse(Response):
    """A response in pieces, as a test gets it: `pieces` gives them one by one, `body` and `text()` what is left."""

    pieces: FunctionBody

    def __init__(self, head: Response, pieces: FunctionBody) -> None:
        super().__init__(pieces, head.status, head.headers)

    @property
    def body(self) -> bytes:
        """All that is left of the body."""
        return b"".join(self.pieces)

    @body.setter
    def body(self, _: bytes) -> None:
        """There is none apart from the pieces."""


def fetch_function(runner: Runner, request: str, offer: str = "") -> Response:
    """Run the function's fetch, which may hand the socket `offer` on; RefusedError where it fails."""
    turn = _turn(runner)
    turn.offer = offer

    def check(text: str) -> None:
        runner.checks.body(f"{turn.label}.fetch: a response", text)
        turn.goes_on = has_body_to_follow(text)

    response = Response.from_wire(runner.run(turn, lambda guest: guest.fetch(request), check))
    if not turn.goes_on:
        return response
    standing = _Standing(runner, runner.function_sandbox, turn.streams)
    runner.function_sandbox = None  # it serves nothing else until the body has ended
    body = FunctionBody(standing.run)
    if response.status in _BODILESS or Request.from_wire(request).method == "HEAD":
        body.close()
        return response
    return PiecewiseResponse(response, body)


class _Standing:
    """A sandbox whose function stands between two pieces."""

    def __init__(self, runner: Runner, sandbox: Sandbox | None, streams: dict[str, Stream]) -> None:
        self._runner = runner
        self._sandbox = sandbox
        self._streams = streams

    def run(self, close: bool) -> str:
        """Run it to the next piece, or to its end."""
        runner, turn = self._runner, _turn(self._runner)
        turn.streams = self._streams
        others, runner.function_sandbox = runner.function_sandbox, self._sandbox

        def check(text: str) -> None:
            turn.goes_on = bool(text)

        try:
            return runner.run(turn, lambda guest: guest.body(close), check)
        finally:
            self._sandbox = runner.function_sandbox
            runner.function_sandbox = others if turn.goes_on else (others or self._sandbox)


def run_scheduled(runner: Runner, event: str) -> None:
    """Run the function's handler for a time that comes again."""
    turn = Turn(runner, None, runner.function_label, budget_s=runner.limits.alarm_timeout_s)
    runner.run(turn, lambda guest: guest.scheduled(event))


def _turn(runner: Runner) -> Turn:
    budget_s, name = runner.limits.fetch_timeout_s, "ActorFetchTimeoutError"
    return Turn(runner, None, runner.function_label, budget_s=budget_s, timeout_name=name)
