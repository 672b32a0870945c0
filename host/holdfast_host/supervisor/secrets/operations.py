"""What may be done with secrets: set, list, delete. They are write-only: nothing here answers with a value.

A function sees those that its manifest names, as attributes of `env`, and no others. It may name one that is not set.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import BadRequestError, InvalidNameError, UnknownSecretError
from holdfast_host.core.ids import check_identifier
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import KIB, MIB
from holdfast_host.core.logs import EventLog
from holdfast_host.core.outbound import PatternError, read_origin
from holdfast_host.storage.records import decided
from holdfast_host.supervisor.registry.registry import Registry, now_us
from holdfast_host.supervisor.secrets.secret_store import Secret, SecretStore
from holdfast_host.wire.control.operations import DeleteSecret, ListSecrets, SecretOperation, SetSecret

VALUE_BYTES_MAX: Final = 64 * KIB
ALL_BYTES_MAX: Final = MIB  # all of them are part of each activation

Tell = Callable[[dict[str, str], dict[str, str], dict[str, str]], Awaitable[None]]


class Secrets:
    """The secrets of a host; one per host, used by the event loop's thread."""

    def __init__(self, vault: SecretStore, registry: Registry, tell: Tell, log: EventLog) -> None:
        """`tell(values, all_values, sealed)` returns when every turn and request that starts sees these values."""
        self._store = vault
        self._registry = registry
        self._tell = tell
        self._log = log

    async def perform(self, operation: SecretOperation) -> JsonObject:
        """One of those below."""
        match operation:
            case ListSecrets():
                return self.list()
            case SetSecret():
                return await self.set(operation.name, operation.value, operation.sealed_for)
            case DeleteSecret():
                return await self.delete(operation.name)

    def list(self) -> JsonObject:
        """Their names, when each was set, and which functions name it."""
        return {"secrets": [self._show(name, secret) for name, secret in self._store.all().items()]}

    async def set(self, name: str, value: str, sealed_for: str | None = None) -> JsonObject:
        """Set one; every turn that starts after the return sees it.

        Args:
            name: its name.
            value: its value.
            sealed_for: the one origin that the courier may send it to; then no turn sees it.

        Raises:
            InvalidNameError: the name breaks the rule of identifiers.
            BadRequestError: the value is too large, or the origin is none.
        """
        check_secret_name(name)
        secret = Secret(value, now_us(), None if sealed_for is None else _read_origin(sealed_for))

        def record() -> bool:
            found = self._store.all()
            _check_size(name, value, found)
            self._store.replace({**found, name: secret})
            return name not in found

        created = decided(record)
        await self._tell_all()
        self._log.info("secret set", name=name)
        return {**self._show(name, secret), "created": created}

    async def delete(self, name: str) -> JsonObject:
        """Delete one; no turn that starts after the return sees it.

        Raises:
            UnknownSecretError: there is none of that name.
        """

        def record() -> Secret:
            found = self._store.all()
            if name not in found:
                raise UnknownSecretError(f"there is no secret {name[:64]!r}")
            secret = found.pop(name)
            self._store.replace(found)
            return secret

        secret = decided(record)
        await self._tell_all()
        self._log.info("secret deleted", name=name)
        return self._show(name, secret)

    async def follow(self) -> None:
        """Another host has changed them: have every turn that starts from now on see what they are.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        self._store.reload()
        await self._tell_all()

    def _show(self, name: str, secret: Secret) -> JsonObject:
        functions = [
            each.function
            for each in self._registry.current()
            if (name in each.secrets and secret.sealed_for is None) or name in each.outbound.secrets()
        ]
        shown = {"name": name, "updated_at": utc_text(secret.changed_us), "functions": functions}
        return shown if secret.sealed_for is None else {**shown, "sealed_for": secret.sealed_for}

    async def _tell_all(self) -> None:
        for_courier = self._store.for_courier()
        await self._tell(self._store.values(), for_courier.values, for_courier.sealed)


def check_secret_name(name: str) -> str:
    """The name itself, or InvalidNameError."""
    check_identifier("secret", name)
    if name.startswith("_"):
        raise InvalidNameError(f"{name!r} is no name of a secret: a name on env does not begin with an underscore")
    return name


def _read_origin(text: str) -> str:
    try:
        return read_origin(text)
    except PatternError as error:
        raise BadRequestError(str(error)) from None


def _check_size(name: str, value: str, found: dict[str, Secret]) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadRequestError("the value of a secret must be valid Unicode: this one has a lone surrogate") from None
    if size > VALUE_BYTES_MAX:
        raise BadRequestError(f"a secret of {size} bytes exceeds the limit of {VALUE_BYTES_MAX} bytes")
    total = size + sum(len(secret.value.encode()) for other, secret in found.items() if other != name)
    if total > ALL_BYTES_MAX:
        raise BadRequestError(f"secrets of {total} bytes in all exceed the limit of {ALL_BYTES_MAX} bytes")
