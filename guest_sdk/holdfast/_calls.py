"""Calling other actors: `env.ACCOUNT.id_from_name("alice").deposit(amount=5)`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from holdfast._gather import Starter
from holdfast._host_imports import CallsImport, Err, raise_call_error
from holdfast._http import Request, Response
from holdfast._values.codec import decode, encode_arguments

NAME_BYTES_MAX = 256
KEY_BYTES_MAX = 255


class ActorNamespace:
    """What a binding on `env` is: the way to every instance of one actor type. Calls nobody by itself."""

    __slots__ = ("_binding", "_calls", "_type")

    def __init__(self, binding: str, actor_type: str, calls: CallsImport) -> None:
        self._binding = binding
        self._type = actor_type
        self._calls = calls

    def id_from_name(self, name: str, location_hint: str | None = None) -> ActorStub:
        """The stub of the instance with this name; it need not exist yet.

        Args:
            name: 1 to 256 bytes of UTF-8, without NUL.
            location_hint: Where the instance should live; a host of one machine ignores it.

        Raises:
            ValueError: The name breaks its rule.
        """
        if type(name) is str and name.isascii() and 0 < len(name) <= NAME_BYTES_MAX and "\0" not in name:
            return ActorStub(self._binding, self._type, name, self._calls)
        if not isinstance(name, str):
            raise TypeError(f"the name of an instance is a str, not {type(name).__name__}")
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise ValueError("the name of an instance must be valid Unicode, this one has a lone surrogate") from None
        if not 1 <= size <= NAME_BYTES_MAX:
            raise ValueError(f"the name of an instance has 1 to {NAME_BYTES_MAX} bytes of UTF-8, this one {size}")
        if "\0" in name:
            raise ValueError("the name of an instance must not contain NUL")
        return ActorStub(self._binding, self._type, name, self._calls)

    def new_unique_id(self) -> ActorStub:
        """The stub of a new instance, named by 32 random hexadecimal digits."""
        return self.id_from_name(secrets.token_hex(16))

    def __repr__(self) -> str:
        return f"<holdfast binding {self._binding} to {self._type}>"


class ActorStub:
    """A cheap handle to one instance: calling a method on it calls that instance and waits for the result.

    Every attribute without an underscore, other than `name`, `id`, `fetch`, `once` and `start`, is a method of the
    actor. Arguments go by position or by name and keep their types, and so does the result.

    Raises (of each such call):
        ActorCallError: The call failed; `name`, `message`, `code` and `retryable` say how.
        CodecError: An argument cannot be passed.
    """

    __slots__ = ("_binding", "_calls", "_key", "_name", "_type")

    def __init__(self, binding: str, actor_type: str, name: str, calls: CallsImport, key: str = "") -> None:
        self._binding = binding
        self._type = actor_type
        self._name = name
        self._calls = calls
        self._key = key

    @property
    def name(self) -> str:
        """The instance's name."""
        return self._name

    @property
    def id(self) -> str:
        """The same text as `name`."""
        return self._name

    def once(self, key: str) -> ActorStub:
        """A stub whose calls have one effect, and one answer, however often they are made: for a day.

        Example:
            self.env.ACCOUNT.id_from_name(to).once(f"transfer-{transfer_id}").deposit(5)

        Args:
            key: What names the call at that instance: the same key for the same call, another one for another. 1 to 255
                bytes of UTF-8.

        Raises:
            ValueError: The key breaks its rule.
            ActorCallError: (of a call) `IdempotencyConflictError` where the key was used for another one.
        """
        key = checked_key(key, "an idempotency key")
        return ActorStub(self._binding, self._type, self._name, self._calls, key)

    @property
    def start(self) -> Starter:
        """The same methods, as calls that do not leave yet: for `gather`, or to be awaited in an `async def`.

        Example:
            results = self.ctx.gather(*[self.env.ROOM.id_from_name(name).start.count() for name in names])
        """
        return Starter(self._binding, self._type, self._name, self._calls, self._key)

    def fetch(self, request: Request) -> Response:
        """Call the actor's own `fetch(self, request)`."""
        if self._key:
            raise TypeError("fetch has no idempotency key: call a method, or say it in the request")
        if not isinstance(request, Request):
            raise TypeError(f"fetch takes a holdfast.Request, not {type(request).__name__}")
        try:
            return Response.from_wire(self._calls.fetch(self._binding, self._name, request.to_wire()))
        except Err as error:
            raise_call_error(error)

    def _target(self) -> tuple[str, str, str, str]:
        """For the outbox: binding, name, type and key."""
        return self._binding, self._name, self._type, self._key

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_") or not method.isidentifier():
            raise AttributeError(f"{method!r} is no method that a stub can call", name=method, obj=self)

        def call(*args: Any, **kwargs: Any) -> Any:
            arguments = encode_arguments(args, kwargs, f"the arguments of {self._type}.{method}")
            try:
                if self._key:
                    result = self._calls.call_once(self._binding, self._name, method, arguments, self._key)
                else:
                    result = self._calls.call(self._binding, self._name, method, arguments)
            except Err as error:
                raise_call_error(error)
            return decode(result, f"the result of {self._type}.{method}")

        call.__name__ = call.__qualname__ = method
        return call

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActorStub):
            return NotImplemented
        return (self._type, self._name) == (other._type, other._name)

    def __hash__(self) -> int:
        return hash((self._type, self._name))

    def __repr__(self) -> str:
        return f"<holdfast stub {self._type}/{self._name}>"


def checked_key(key: str, what: str) -> str:
    """The key; TypeError or ValueError, which begin with what it is, for one that is none."""
    if not isinstance(key, str):
        raise TypeError(f"{what} is a str, not {type(key).__name__}")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be valid Unicode, this one has a lone surrogate") from None
    if not 1 <= size <= KEY_BYTES_MAX:
        raise ValueError(f"{what} has 1 to {KEY_BYTES_MAX} bytes of UTF-8, this one {size}")
    return key
