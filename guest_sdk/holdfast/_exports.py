"""The exports of `wit/instance.wit`: one Guest is one sandbox, from its activation to its end.

Whatever the author's code raises leaves as `Err`, and nothing else does: any other exception would cost the sandbox.
`call` is the hot path: what can be known before it is worked out in `activate`, or while the component is built.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any

from holdfast._activation_mark import keep_mark
from holdfast._actor import Context, StatefulActor
from holdfast._body_pieces import BodyPieces
from holdfast._contract import HANDLER_NAMES, HANDLERS
from holdfast._coroutines import Coroutines
from holdfast._describe import Component
from holdfast._env import Env, make_env
from holdfast._errors import CallRefusedError, CodecError, error_json
from holdfast._host_imports import CallsImport, Err, HostImports, SocketsImport
from holdfast._http import Request, Response
from holdfast._jobs.delivery import ScheduledEvent, run_job
from holdfast._jobs.outbox import Jobs, Outbox
from holdfast._log_capture import Output
from holdfast._methods import Method, handlers_of
from holdfast._outbound import use_import
from holdfast._reseeding import seed_anew
from holdfast._sockets import run_handler
from holdfast._state.alarms import AlarmInfo, NoHandler
from holdfast._state.storage import HELD_CHARS_MAX, HELD_NOTHING, Storage
from holdfast._values.arguments import ArgumentTypes
from holdfast._values.codec import (
    decode_arguments,
    decode_given,
    decode_json,
    encode,
    encode_plain,
    not_json,
    plain_text,
)


class InstanceRuntime:
    """What an instance's Context asks for when its author does; see `_actor.Runtime`."""

    __slots__ = ("_actor", "_host")

    def __init__(self, host: HostImports, actor: type[StatefulActor]) -> None:
        self._host = host
        self._actor = actor

    @property
    def calls(self) -> CallsImport:
        """The host's calls."""
        return self._host.calls

    @property
    def sockets(self) -> SocketsImport:
        """The host's sockets."""
        return self._host.sockets

    @property
    def hears_sockets(self) -> bool:
        """Whether the class has a `socket_message`."""
        return "socket_message" in handlers_of(self._actor)

    def jobs(self) -> Jobs:
        """The jobs of the instance."""
        return Jobs(self._actor, self._host.jobs)

    def outbox(self) -> Outbox:
        """Its calls and requests."""
        return Outbox(self.jobs())


class Guest:
    """What one component does in one sandbox. `activate` is called once, before any call."""

    __slots__ = (
        "_actor",
        "_body",
        "_checks_arguments",
        "_component",
        "_coroutines",
        "_env",
        "_handlers",
        "_host",
        "_label",
        "_methods",
        "_output",
    )

    def __init__(self, component: Component, host: HostImports, output: Output) -> None:
        self._component = component
        self._coroutines = Coroutines()
        self._host = host
        self._output = output
        self._actor: StatefulActor | None = None
        self._body: BodyPieces | None = None  # of the response that its function gives
        self._env = Env({})
        self._handlers: list[str] = []
        self._label = "the function"
        self._checks_arguments = False
        # Each with what its annotations ask for, where what comes as plain JSON is checked.
        self._methods: dict[str, tuple[Callable[..., Any], Method, ArgumentTypes | None]] = {}

    def describe(self) -> str:
        """What the component ships, as JSON."""
        return self._component.description

    def activate(self, actor_type: str, name: str, environment: str) -> None:
        """Make the instance and run its constructor; an empty type activates the function's sandbox."""
        try:
            seed_anew()
            facts = decode_json(environment)
            keep_mark(facts.get("mark"))
            use_import(self._host.http)
            self._env = make_env(facts, self._host.calls)
            self._checks_arguments = facts.get("check_arguments") is True
            if actor_type:
                self._construct(actor_type, name)
        except BaseException as failure:
            raise Err(error_json(failure, "ActorInitError")) from None
        finally:
            self._output.flush()

    def _construct(self, actor_type: str, name: str) -> None:
        actor_class = self._component.actors.get(actor_type)
        if actor_class is None:
            raise CallRefusedError("ActorInitError", f"the component has no actor class {actor_type!r}")
        held_chars_max = HELD_NOTHING if self._host.sees_each_read else HELD_CHARS_MAX
        alarms = self._host.alarms if "alarm" in handlers_of(actor_class) else NoHandler(actor_type, self._host.alarms)
        end = self._output.at_turn_end
        storage = Storage(self._host.storage, alarms, held_chars_max=held_chars_max, at_turn_end=end)
        runtime = InstanceRuntime(self._host, actor_class)
        actor = actor_class(Context(actor_type, name, storage, runtime), self._env)
        if not hasattr(actor, "ctx"):
            raise CallRefusedError("ActorInitError", f"{actor_type}.__init__ must call super().__init__(ctx, env)")
        storage._release_blocks()  # noqa: SLF001  (the runtime's, and no method for authors)
        methods = self._component.methods[actor_type]
        checks = self._checks_arguments
        self._methods = {
            each: (method.bind(actor), method, method.types if checks else None) for each, method in methods.items()
        }
        self._label = actor_type
        self._handlers = handlers_of(actor_class)
        self._actor = actor

    def call(self, method: str, arguments: str, typed_arguments: bool, typed_result: bool) -> str:  # noqa: C901
        """Run one method; its result as JSON text."""
        # In one piece: a function for each branch would cost every call a frame.
        try:
            known = self._methods.get(method)
            if known is None:
                self._refuse(method)
            bound, facts, types = known  # type: ignore[misc]  # _refuse() raises
            if not arguments:
                if not facts.fits_positions(0):
                    facts.check([], {})
                result = bound()
            elif typed_arguments:
                result = self._call_typed(bound, facts, arguments)
            else:
                try:
                    given = decode_given(arguments)
                except (ValueError, RecursionError) as error:
                    raise CallRefusedError("BadArgumentsError", f"the arguments are {not_json(error)}") from None
                if type(given) is dict:
                    if types is not None:
                        if (*given, *map(type, given.values())) not in types.exact:
                            given = facts.convert(given)
                    elif tuple(given) not in facts.usual and not facts.fits_names(given.keys()):
                        facts.check([], given)
                    result = bound(**given)
                elif type(given) is list:
                    if types is not None:
                        if (*map(type, given),) not in types.exact:
                            given = facts.convert(given)
                    elif not facts.fits_positions(len(given)):
                        facts.check(given, {})
                    result = bound(*given)
                else:
                    _refuse_arguments(given)
            if type(result) is CoroutineType:
                result = self._coroutines.finish(result, f"{self._label}.{method}")
            text = plain_text(result)
            if text is None or (typed_result and '"$hf"' in text):
                return self._result_text(result, method, typed_result)
            return text
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            if self._output.pending:
                self._output.flush()

    def _call_typed(self, bound: Callable[..., Any], facts: Method, arguments: str) -> Any:
        try:
            args, kwargs = decode_arguments(arguments)
        except CodecError as error:
            raise CallRefusedError("CodecError", str(error), 400) from None
        if args or not kwargs:
            if kwargs or not facts.fits_positions(len(args)):
                facts.check(args, kwargs)
        elif tuple(kwargs) not in facts.usual and not facts.fits_names(kwargs.keys()):
            facts.check(args, kwargs)
        return bound(*args, **kwargs)

    def _result_text(self, result: Any, method: str, typed: bool) -> str:
        what = f"the result of {self._label}.{method}"
        try:
            return encode(result, what) if typed else encode_plain(result, what)
        except CodecError as error:
            raise CallRefusedError("CodecError", str(error)) from None

    def _refuse(self, method: str) -> None:
        if self._actor is None:
            raise CallRefusedError("ActorUnknownMethodError", "the function's sandbox has no methods")
        actor = self._actor
        if method.startswith("_") or method in HANDLER_NAMES or hasattr(type(actor), method) or method in vars(actor):
            text = f"{self._label}.{method} is not callable from outside"
            raise CallRefusedError("ActorPrivateMethodError", text)
        public = ", ".join(self._methods) or "none"
        raise CallRefusedError("ActorUnknownMethodError", f"{self._label} has no method {method!r}; it has: {public}")

    def alarm(self, info: str) -> None:
        """Run the alarm's handler."""
        try:
            result = self._handler("alarm")(AlarmInfo.from_wire(decode_json(info)))
            self._coroutines.finish(result, f"{self._label}.alarm")
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            self._output.flush()

    def _handler(self, name: str) -> Callable[..., Any]:
        if name not in self._handlers:
            raise CallRefusedError("ActorUnknownMethodError", f"{self._label} has no {name}{HANDLERS[name]}")
        found: Callable[..., Any] = getattr(self._actor, name)
        return found

    def socket(self, event: str, message: str) -> None:
        """Run the handler of an event of a socket."""
        try:
            result = run_handler(self._handler, self._host.sockets, event, message)
            if result is not None:
                self._coroutines.finish(result, f"{self._label}'s handler of a socket")
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            if self._output.pending:
                self._output.flush()

    def job(self, info: str) -> None:
        """Run the method of a job, or its `then`."""
        try:
            self._coroutines.finish(run_job(self._actor, self._label, info), f"the job of {self._label}")
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            if self._output.pending:
                self._output.flush()

    def scheduled(self, event: str) -> None:
        """Run the function's handler for a time of its manifest."""
        try:
            result = self._scheduled_handler()(ScheduledEvent.from_wire(decode_json(event)), self._env)
            self._coroutines.finish(result, "scheduled")
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            self._output.flush()

    def _scheduled_handler(self) -> Callable[[ScheduledEvent, Env], Any]:
        if self._actor is not None or self._component.scheduled is None:
            raise CallRefusedError("ActorUnknownMethodError", f"{self._label} has no scheduled(event, env)")
        return self._component.scheduled

    def fetch(self, request: str) -> str:
        """Run the fetch handler of the actor, or of the function; its response as JSON text."""
        try:
            return self._respond(Request.from_wire(request)).to_wire()
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            if self._output.pending:
                self._output.flush()

    def _respond(self, request: Request) -> Response:
        if self._actor is not None:
            handler: Callable[[Request], Any] | None = getattr(self._actor, "fetch", None)
            if handler is None:
                raise CallRefusedError("ActorUnknownMethodError", f"{self._label} has no fetch(self, request)")
            response = handler(request)
        elif self._component.fetch is not None:
            response = self._component.fetch(request, self._env)
        else:
            raise CallRefusedError("ActorUnknownMethodError", "the function has no fetch(request, env)")
        if type(response) is CoroutineType:
            response = self._coroutines.finish(response, f"{self._label}.fetch")
        if not isinstance(response, Response):
            raise TypeError(f"fetch must return a holdfast.Response, not {type(response).__name__}")
        if response.pieces is not None:
            if self._actor is not None:
                raise TypeError(
                    f"{self._label}.fetch returned a body in pieces, which an actor cannot: its turn is whole. Return "
                    "it from the function's fetch, which may ask the actor for each piece"
                )
            self._body = BodyPieces(response.pieces, self._coroutines)
        return response

    def body(self, close: bool) -> str:
        """The next piece of the body that the function's fetch has returned, as base64; empty at its end."""
        body, self._body = self._body, None
        try:
            if body is None:
                return ""
            if close:
                body.close()
                return ""
            piece = body.take()
            if piece:
                self._body = body
            return piece
        except BaseException as failure:
            raise Err(error_json(failure)) from None
        finally:
            self._output.flush()


def _refuse_arguments(given: Any) -> None:
    kind = type(given).__name__
    raise CallRefusedError(
        "BadArgumentsError", f"arguments are a JSON object (by name) or array (by position), not {kind}"
    )
