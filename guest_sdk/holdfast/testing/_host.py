"""LocalHost: actors in plain Python, with the semantics of a real host."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast._actor import StatefulActor
from holdfast._describe import Component, check_actor, check_extends, check_handler
from holdfast._env import Env, make_env
from holdfast._errors import ActorCallError
from holdfast._http import Request, Response
from holdfast._jobs.delivery import ScheduledEvent
from holdfast.testing._answers import Answer, answer_call
from holdfast.testing._clock import ManualClock
from holdfast.testing._delivery import Deliveries
from holdfast.testing._failures import RefusedError
from holdfast.testing._function import fetch_function
from holdfast.testing._instance import Instance
from holdfast.testing._jobs.deliveries import JobDeliveries
from holdfast.testing._jobs.rows import JobState, state_of
from holdfast.testing._limits import Limits
from holdfast.testing._outbound import Outbound
from holdfast.testing._outside_calls import OutsideCalls
from holdfast.testing._project import read_project
from holdfast.testing._records import LogLine
from holdfast.testing._runner import Runner
from holdfast.testing._sockets.connecting import Connecting

if TYPE_CHECKING:
    from holdfast.client import AsyncClient, Client

FIRST_SHOWN: Final = datetime(2026, 11, 1, tzinfo=UTC)
ENV_NAME_CHARS_MAX: Final = 64
_FUNCTION: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")

Fetch = Callable[[Request, Env], Any]
Scheduled = Callable[[ScheduledEvent, Env], Any]


class LocalHost(Connecting):
    """Runs actor classes in this process: no host, no network, no component.

    Every call is a turn as on a real host: it commits what it wrote when it returns and nothing when it fails, its
    values go through the same encoding, its limits hold, and what actors do not have (network, threads, files,
    processes, sleep) is refused in the same words. Time stands still until `clock` is moved.

    Example:
        host = LocalHost({"ACCOUNT": Account})
        alice = host.env.ACCOUNT.id_from_name("alice")
        assert alice.deposit(5) == {"balance": 5}
        assert host.instance(Account, "alice").storage["balance"] == 5

    What it cannot show: module-level variables are shared by all instances here, and by none there; a method that never
    ends is not interrupted; memory is not limited; the Python is the test's own, not the component's.

    Args:
        actors: The bindings: the name on `env`, and the class.
        name: What the function is called.
        fetch: The function's `fetch(request, env)`, if it has one.
        variables: Texts on `env`, as `[vars]` gives them.
        secrets: Texts on `env`, as secrets give them that the function names.
        now: What the clock shows first; midnight of 2026-11-01 in UTC, in every run, unless a test wants another.
        limits: Lower them to meet them sooner.
        outbound: What may be asked outside, as `[outbound] allow` lists it; everything where it is not said.
        check_arguments: Whether `post` checks and converts arguments by their annotations, as a host does where
            holdfast.toml says so.
        scheduled: The function's `scheduled(event, env)`, if it has one.
        crons: When it runs, as `[triggers] crons` lists it: cron texts in UTC.
        absent: Bindings that lead to an actor type whose owner is not deployed, as an optional reference may: the name
            on `env`, and the type.

    Raises:
        RuleError: A class or method breaks a rule, as `holdfast build` would say it.
        ValueError: A name on `env` is given twice, or is none; `name` is none of a function; `now` has no time zone.
        TypeError: A variable or a secret is no text.

    Attributes:
        env: Bindings and variables, as actors and the function see them.
        clock: The time, moved by hand.
        outbound: What was asked outside, and what it is answered; nothing leaves the machine.
    """

    def __init__(
        self,
        actors: Mapping[str, type[StatefulActor]],
        *,
        name: str = "local",
        fetch: Fetch | None = None,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        now: datetime | None = None,
        limits: Limits | None = None,
        check_arguments: bool = False,
        absent: Mapping[str, str] | None = None,
        outbound: Iterable[str] | None = None,
        scheduled: Scheduled | None = None,
        crons: Iterable[str] = (),
    ) -> None:
        variables, secrets = variables or {}, secrets or {}
        for each in variables.keys() & secrets.keys():
            raise ValueError(f"{each} is a variable and a secret: env has each name once")
        variables = {**variables, **secrets}
        _check_names(name, (*actors, *(absent or {})), variables)
        for actor in actors.values():
            check_extends(actor)
        if fetch is not None:
            check_handler("fetch", fetch)
        if now is not None and now.tzinfo is None:
            raise ValueError(f"now is {now}, which may be any hour: give it a time zone, like tzinfo=UTC")
        bindings = {**{binding: actor.__name__ for binding, actor in actors.items()}, **(absent or {})}
        self.clock = ManualClock(now or FIRST_SHOWN, self._run_due)
        self.outbound = Outbound(outbound)
        if scheduled is not None:
            check_handler("scheduled", scheduled)
        component = Component(_by_type(actors), fetch, scheduled)
        self._runner = Runner(
            component,
            name,
            bindings,
            variables,
            self.clock,
            limits or Limits(),
            self.outbound,
            check_arguments=check_arguments,
        )
        self._deliveries = Deliveries(self._runner, JobDeliveries(self._runner, self.outbound, self.clock))
        self._deliveries.set_crons(tuple(crons), self.clock.now_us)
        environment = {"bindings": bindings, "variables": dict(variables)}
        self.env = make_env(environment, OutsideCalls(self._runner, bindings))

    @classmethod
    def of_project(
        cls,
        directory: str | Path,
        *,
        references: Mapping[str, type[StatefulActor]] | None = None,
        secrets: Mapping[str, str] | None = None,
        now: datetime | None = None,
        limits: Limits | None = None,
    ) -> LocalHost:
        """The project in a directory, as its holdfast.toml says: bindings, variables, and the module that `main` names.

        Args:
            directory: Where holdfast.toml is.
            references: Classes by type, for bindings that lead to types of other projects.
            secrets: The secrets that this host has; `env` has those of them that holdfast.toml names.
            now: As for LocalHost.
            limits: As for LocalHost.

        Raises:
            ValueError: holdfast.toml or its module does not fit; the message says what.
        """
        project = read_project(Path(directory), references or {})
        return cls(
            project.actors,
            name=project.name,
            fetch=project.fetch,
            variables=project.variables,
            secrets={name: value for name, value in (secrets or {}).items() if name in project.secrets},
            now=now,
            limits=limits,
            check_arguments=project.check_arguments,
            absent=project.absent,
            outbound=project.outbound,
            scheduled=project.scheduled,
            crons=project.crons,
        )

    def instance(self, actor: type[StatefulActor] | str, name: str) -> Instance:
        """One instance, to look at and to edit; it need not have been called yet.

        Args:
            actor: The class, or the name of its type.
            name: The instance's name.
        """
        actor_type = actor if isinstance(actor, str) else actor.__name__
        try:
            return Instance(self._runner, self._runner.record(actor_type, name), self.clock)
        except RefusedError as failure:
            raise ValueError(failure.message) from None

    def instances(self, actor: type[StatefulActor] | str) -> list[str]:
        """The names of the instances that have a key, an alarm, a job, a kept answer or a socket, by their bytes."""
        actor_type = actor if isinstance(actor, str) else actor.__name__
        records = [each for each in self._runner.records.values() if each.actor_type == actor_type]
        return sorted((each.name for each in records if each.exists), key=str.encode)

    def jobs(self, state: str | None = None) -> list[JobState]:
        """The jobs of all instances that are not done, those that are due first before others.

        Example:
            assert [job.url for job in host.jobs(state="abandoned")] == ["https://api.example.com/v1/orders"]

        Args:
            state: Only those in this state: `armed`, `retrying`, `waiting` or `abandoned`.
        """
        records = sorted(self._runner.records.values(), key=lambda each: (each.actor_type, each.name))
        found = [state_of(record.label, job) for record in records for job in record.jobs.values()]
        found.sort(key=lambda job: job.due or FIRST_SHOWN)
        return [job for job in found if state in {None, job.state}]

    @property
    def log(self) -> list[LogLine]:
        """Everything that was printed and logged, oldest first."""
        return list(self._runner.lines)

    def fetch(self, request: Request | str) -> Response:
        """Have the function's `fetch` answer a request, or a GET of that URL; by a client at 127.0.0.1 unless it says.

        Where its body comes in pieces, `response.pieces` runs the function's code to the next one each time it is
        asked; `response.pieces.close()` goes, as a client does that has enough.

        Raises:
            ActorCallError: It failed; `name`, `message`, `code` and `status` are those that its caller gets. What an
                exception said is in `host.log`, not in there: who asks a function is a stranger.
        """
        if isinstance(request, str):
            request = Request(request)
        if not request.client:
            request = copy.copy(request)
            request.client = "127.0.0.1"
        try:
            return fetch_function(self._runner, request.to_wire())
        except RefusedError as failure:
            raise _call_error(failure) from None

    def post(
        self,
        actor: type[StatefulActor] | str,
        name: str,
        method: str,
        body: Any = None,
        *,
        typed_arguments: bool = False,
        typed_result: bool = False,
        key: str | None = None,
    ) -> Answer:
        """Call a method as `curl -X POST .../v1/actors/Account/alice/deposit` does.

        Args:
            actor: The class, or the name of its type.
            name: The instance's name.
            method: What to call.
            body: JSON as text; or a dict (by name) or list (by position) to be made into it; or None.
            typed_arguments: Read the body with its `$hf` tags.
            typed_result: Answer with `$hf` tags, instead of plain JSON.
            key: What the header `Idempotency-Key` says; None for a call without it.
        """
        actor_type = actor if isinstance(actor, str) else actor.__name__
        return answer_call(
            self._runner,
            actor_type,
            name,
            method,
            body,
            typed_arguments=typed_arguments,
            typed_result=typed_result,
            key=key,
        )

    def client(self) -> Client:
        """A `holdfast.client.Client` that calls the actors of this host: to test a backend without a real one."""
        from holdfast.client import Client  # 0.1 s, which a test of actors alone does not need
        from holdfast.client._local import local_transport

        return Client(transport=local_transport(self.post))

    def async_client(self) -> AsyncClient:
        """A `holdfast.client.AsyncClient` that calls the actors of this host."""
        from holdfast.client import AsyncClient
        from holdfast.client._local import local_transport

        return AsyncClient(transport=local_transport(self.post))

    def crash(self, down: float | timedelta = 0) -> None:
        """Die now, as if killed, and come back: every activation is gone, what was committed is there.

        Sockets are closed, with 1012 at their clients; their instances hear of it as 1006.

        Args:
            down: How long it is away, in seconds or as a timedelta: what is due meanwhile runs when the clock is moved
                next, be it by 0.
        """
        self._runner.crash()
        self._runner.network.settle()
        away = down if isinstance(down, timedelta) else timedelta(seconds=down)
        self.clock.show(self.clock.now_us + away // timedelta(microseconds=1))

    def crash_worker(self) -> None:
        """Have the process die that runs the actors, as if killed: every activation is gone, sockets and storage stay.

        What of a running turn was not committed never was. An answer that streams to a topic goes on where it was.
        """
        self._runner.crash(whole=False)
        self._runner.network.settle()

    def crash_after_writes(self, count: int) -> None:
        """Die, as if killed, right after that many further writes, in the middle of the turn that makes the last one.

        That turn commits nothing (but what it has synced), its caller gets `HostUnavailableError`, or
        `ActorOutputGateError` where a sync or a call had left it already. The next call finds the host back.
        """
        if count < 1:
            raise ValueError(f"the host can die after 1 write or more, not after {count}")
        self._runner.crash_after_writes(count)

    def crash_after_commits(self, count: int = 1) -> None:
        """Die, as if killed, between that commit from now on and the answer.

        The caller gets `ActorOutputGateError`, and what the turn wrote is there all the same: a caller that retries
        must expect it.
        """
        if count < 1:
            raise ValueError(f"the host can die after 1 commit or more, not after {count}")
        self._runner.crash_after_commits(count)

    def _run_due(self, target_us: int) -> int:
        with self._runner.lock:
            return self._deliveries.run_until(self.clock, target_us)

    def __repr__(self) -> str:
        return f"<holdfast local host: {', '.join(self._runner.component.actors) or 'no actors'}>"


def _by_type(actors: Mapping[str, type[StatefulActor]]) -> dict[str, type[StatefulActor]]:
    found: dict[str, type[StatefulActor]] = {}
    for actor in actors.values():
        check_actor(actor)
        if found.setdefault(actor.__name__, actor) is not actor:
            raise ValueError(f"two actor classes are called {actor.__name__}")
    return found


def _check_names(function: str, bindings: Collection[str], variables: Mapping[str, str]) -> None:
    if not _FUNCTION.fullmatch(function):
        raise ValueError(f"{function!r} is no name of a function: it has the form [a-z][a-z0-9-]{{0,62}}")
    for name in (*bindings, *variables):
        if not name.isidentifier() or not name.isascii() or "__" in name or len(name) > ENV_NAME_CHARS_MAX:
            what = f"an ASCII identifier of at most {ENV_NAME_CHARS_MAX} characters without '__'"
            raise ValueError(f"{name!r} is no name on env: {what}")
    for name in variables:
        if name.startswith("_"):
            raise ValueError(f"{name!r} is no name of a variable or a secret: those do not begin with an underscore")
    for name in variables.keys() & {*bindings}:
        raise ValueError(f"{name} is a binding and a variable: env has each name once")
    for name, value in variables.items():
        if not isinstance(value, str):
            raise TypeError(f"the variable {name} is a str, not {type(value).__name__}")


def _call_error(failure: RefusedError) -> ActorCallError:
    return ActorCallError(
        failure.name, failure.message, code=failure.code, retryable=failure.retryable, status=failure.status
    )
