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
from holdfast_host.core.tenants import key_of, name_of, tenant_of
from holdfast_host.storage.records import decided
from holdfast_host.supervisor.registry.registry import Registry, now_us
from holdfast_host.supervisor.secrets.secret_store import Secret, SecretStore
from holdfast_host.wire.control.operations import DeleteSecret, ListSecrets, SecretOperation, SetSecret

VALUE_BYTES_MAX: Final = 64 * KIB
ALL_BYTES_MAX: Final = MIB  # of a tenant: all of them are part of each activation

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
                return self.list(operation.tenant)
            case SetSecret():
                return await self.set(operation.tenant, operation.name, operation.value, operation.sealed_for)
            case DeleteSecret():
                return await self.delete(operation.tenant, operation.name)

    def list(self, tenant: str) -> JsonObject:
        """The names of a tenant's, when each was set, and which functions name it."""
        return {"secrets": [self._show(key, secret) for key, secret in self._of(tenant).items()]}

    async def set(self, tenant: str, name: str, value: str, sealed_for: str | None = None) -> JsonObject:
        """Set one; every turn that starts after the return sees it.

        Args:
            tenant: whose functions see it.
            name: its name.
            value: its value.
            sealed_for: the one origin that the courier may send it to; then no turn sees it.

        Raises:
            InvalidNameError: the name breaks the rule of identifiers.
            BadRequestError: the value is too large, or the origin is none.
        """
        check_secret_name(name)
        key = key_of(tenant, name)
        secret = Secret(value, now_us(), None if sealed_for is None else _read_origin(sealed_for))

        def record() -> bool:
            _check_size(key, value, self._of(tenant))
            found = self._store.all()
            self._store.replace({**found, key: secret})
            return key not in found

        created = decided(record)
        await self._tell_all()
        self._log.info("secret set", name=key)
        return {**self._show(key, secret), "created": created}

    async def delete(self, tenant: str, name: str) -> JsonObject:
        """Delete one; no turn that starts after the return sees it.

        Raises:
            UnknownSecretError: there is none of that name.
        """
        key = key_of(tenant, name)

        def record() -> Secret:
            found = self._store.all()
            if key not in self._of(tenant):
                raise UnknownSecretError(f"there is no secret {name[:64]!r}")
            secret = found.pop(key)
            self._store.replace(found)
            return secret

        secret = decided(record)
        await self._tell_all()
        self._log.info("secret deleted", name=key)
        return self._show(key, secret)

    async def follow(self) -> None:
        """Another host has changed them: have every turn that starts from now on see what they are.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        self._store.reload()
        await self._tell_all()

    async def forget(self, tenant: str) -> None:
        """A tenant is about to be forgotten, and its secrets before it.

        Raises:
            HostUnavailableError: the disk does not let us; nothing was changed.
        """

        def record() -> bool:
            found = self._store.all()
            left = {key: secret for key, secret in found.items() if tenant_of(key) != tenant}
            if len(left) < len(found):
                self._store.replace(left)
            return len(left) < len(found)

        if decided(record):
            await self._tell_all()

    def _of(self, tenant: str) -> dict[str, Secret]:
        return {key: secret for key, secret in self._store.all().items() if tenant_of(key) == tenant}

    def _show(self, key: str, secret: Secret) -> JsonObject:
        tenant, name = tenant_of(key), name_of(key)
        functions = [
            name_of(each.function)
            for each in self._registry.current()
            if each.tenant == tenant
            and ((name in each.secrets and secret.sealed_for is None) or name in each.outbound.secrets())
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


def _check_size(key: str, value: str, found: dict[str, Secret]) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadRequestError("the value of a secret must be valid Unicode: this one has a lone surrogate") from None
    if size > VALUE_BYTES_MAX:
        raise BadRequestError(f"a secret of {size} bytes exceeds the limit of {VALUE_BYTES_MAX} bytes")
    total = size + sum(len(secret.value.encode()) for other, secret in found.items() if other != key)
    if total > ALL_BYTES_MAX:
        raise BadRequestError(f"secrets of {total} bytes in all exceed the limit of {ALL_BYTES_MAX} bytes")
