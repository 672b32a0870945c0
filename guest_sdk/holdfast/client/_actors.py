"""What stands for one instance in a backend: every attribute is a method of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Self

from holdfast._values.codec import encode_arguments
from holdfast.client._request import CallRequest

Send = Callable[[CallRequest], Any]


class _Actor:
    """Type, name and key of what is called, and the client that sends."""

    __slots__ = ("_key", "_name", "_send", "_timeout_s", "_type")

    def __init__(self, send: Send, actor_type: str, name: str, timeout_s: float | None, key: str | None = None) -> None:
        self._send = send
        self._type = actor_type
        self._name = name
        self._timeout_s = timeout_s
        self._key = key

    @property
    def type(self) -> str:
        """The actor type."""
        return self._type

    @property
    def name(self) -> str:
        """The instance's name."""
        return self._name

    def once(self, key: str) -> Self:
        """The same instance, called under an idempotency key: its calls have one effect, and one answer, for a day.

        Example:
            client.actor("Account", "alice").once("order-17").deposit(5)

        Args:
            key: What names the call at that instance: 1 to 255 printable ASCII characters.

        Raises:
            ValueError: The key breaks its rule.
        """
        return type(self)(self._send, self._type, self._name, self._timeout_s, CallRequest.checked_key(key))

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(f"{method!r} is no method that an actor can be called by", name=method, obj=self)

        def call(*args: Any, **kwargs: Any) -> Any:
            arguments = encode_arguments(args, kwargs, f"the arguments of {self._type}.{method}")
            key, timeout_s = self._key, self._timeout_s
            return self._send(CallRequest.of(self._type, self._name, method, arguments, key=key, timeout_s=timeout_s))

        call.__name__ = call.__qualname__ = method
        return call

    def __repr__(self) -> str:
        return f"<holdfast actor {self._type}/{self._name}>"


class RemoteActor(_Actor):
    """One instance, called over HTTP: calling a method on it calls that instance and waits for the result.

    Every attribute without an underscore, other than `name`, `type` and `once`, is a method of the actor. Arguments go
    by position or by name and keep their types, and so does the result. For threads. Get it as `client.actor(...)`.

    Raises (of each such call):
        ActorCallError: The call failed; `name`, `message`, `code`, `status` and `retryable` say how.
        CodecError: An argument cannot be passed.
    """

    __slots__ = ()
    TYPE: ClassVar[str] = ""  # in a class of one type: its name


class AsyncRemoteActor(_Actor):
    """One instance, called over HTTP: each method gives what is to be awaited. Else as `RemoteActor`."""

    __slots__ = ()
    TYPE: ClassVar[str] = ""

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        return super().__getattr__(method)
