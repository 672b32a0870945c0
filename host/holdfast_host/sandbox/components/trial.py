"""Trying a component once: a sandbox that belongs to no instance, in which it says what it ships.

The guest may be hostile: it gets time and nothing else, and what it says is checked. The engine's epoch must advance
while a trial runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from holdfast_host.core.errors import HoldfastError, InvalidComponentError, UnsupportedError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.description import check_description
from holdfast_host.sandbox.engine import LoadedComponent
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from holdfast_host.sandbox.signatures import FUNCTION_HANDLERS, HANDLERS, minor_of

TRIAL_TIMEOUT_S: Final = 10.0
_REASON_CHARS_MAX: Final = 500


def try_component(component: LoadedComponent, limits: Limits) -> dict[str, Any]:
    """Instantiate it and have it describe itself, within TRIAL_TIMEOUT_S.

    Raises:
        InvalidComponentError: it cannot, or what it says breaks a rule.
    """
    return _try(component, limits, None, lambda traceback: None)


def try_sources(
    component: LoadedComponent, limits: Limits, environment: bytes, on_traceback: Callable[[str], None]
) -> dict[str, Any]:
    """The same for a development component, activated first as a function's sandbox, with sources.

    Args:
        component: what was built for development.
        limits: the host's.
        environment: what `activate` is given, the sources among it.
        on_traceback: told where the sources failed, when they did.

    Raises:
        InvalidComponentError: the sources do not load (`code` is the guest's), or what they say breaks a rule.
    """
    return _try(component, limits, environment, on_traceback)


def _try(
    component: LoadedComponent, limits: Limits, environment: bytes | None, on_traceback: Callable[[str], None]
) -> dict[str, Any]:
    turn = RefusingTurn()
    sandbox: Sandbox | None = None
    try:
        sandbox = Sandbox.create(component, turn, memory_bytes_max=limits.memory_bytes_max)
        if environment is not None:
            ok, text = sandbox.activate(turn, "", b"", environment)
            if not ok:
                raise _not_loaded(text, on_traceback)
        ok, text = sandbox.describe(turn)
    except SandboxTrap as trap:
        if trap.kind == "ended":
            raise InvalidComponentError(
                f"the component does not describe itself within {TRIAL_TIMEOUT_S:g} s"
            ) from trap
        raise InvalidComponentError(f"the component failed when it was tried: {trap.message}") from trap
    finally:
        if sandbox is not None:
            sandbox.close()
    if not ok:
        reason = _one_line(text.decode())
        raise InvalidComponentError(f"the component could not describe itself: {reason}")
    description = check_description(text, limits)
    _check_exported(description, component)
    return description


def _check_exported(description: dict[str, Any], component: LoadedComponent) -> None:
    """What it says that it handles, it can be called for. (One of contract 1.0 answers for itself.)."""
    told = [("the function", description["handlers"], FUNCTION_HANDLERS)]
    if minor_of(description["contract"]):
        told += [(each["type"], each["handlers"], HANDLERS) for each in description["actors"]]
    for whose, handlers, exports in told:
        for handler in handlers:
            if exports[handler] not in component.exports:
                raise InvalidComponentError(
                    f"the component describes a handler {handler!r} of {whose}, but does not export "
                    f"{exports[handler]!r}, which runs it"
                )


def _not_loaded(text: bytes, on_traceback: Callable[[str], None]) -> InvalidComponentError:
    """The guest's own account of why its sources do not load."""
    try:
        facts = json.loads(text)
        message, code, traceback = facts["message"], facts.get("code"), facts.get("traceback")
    except (ValueError, KeyError, TypeError, RecursionError):
        return InvalidComponentError("the sources do not load, and the component does not say why")
    if isinstance(traceback, str) and traceback:
        on_traceback(traceback)
    return InvalidComponentError(_one_line(str(message)), code=code if isinstance(code, str) else None)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_REASON_CHARS_MAX]


class _Refusing:
    """There is no instance, so there is nothing to read or write."""

    def __getattr__(self, name: str) -> Any:
        raise _refusal()


class RefusingTurn:
    """What a component gets that is only tried: time, and nothing else."""

    def __init__(self) -> None:
        self.storage: Any = _Refusing()
        self.sockets: Any = self.storage
        self.jobs: Any = self.storage
        self._ends = time.monotonic() + TRIAL_TIMEOUT_S

    def host_call(self) -> bool:
        """As `tick`."""
        return self.tick()

    def tick(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._ends

    def check_alarm_handler(self) -> None:
        """The storage refuses."""

    def sync(self) -> NoReturn:
        """Refused."""
        raise _refusal()

    def call(self, *_: object) -> NoReturn:
        """Refused."""
        raise _refusal()

    def call_many(self, *_: object) -> NoReturn:
        """Refused."""
        raise _refusal()

    def key(self) -> NoReturn:
        """Refused."""
        raise _refusal()

    def fetch(self, *_: object) -> NoReturn:
        """Refused."""
        raise _refusal()

    def request_http(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        raise _refusal()

    def read_http(self, *_: object) -> NoReturn:
        """Refused."""
        raise _refusal()

    def log(self, level: str, text: str) -> None:
        """Nobody reads it."""


def _refusal() -> HoldfastError:
    return UnsupportedError("a component that is only tried has no instance: there is nothing to read or write")
