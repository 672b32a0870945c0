"""What may be done with secrets: set, list, delete. They are write-only: nothing here answers with a value.

All functions of the tenant see all secrets, as attributes of `env`; so a name is declared once, whether by a secret, a
binding or a variable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import BadRequestError, InvalidManifestError, InvalidNameError, UnknownSecretError
from holdfast_host.core.ids import check_identifier
from holdfast_host.core.limits import KIB, MIB
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.registry import Registry, now_us
from holdfast_host.supervisor.vault import Secret, Vault
from holdfast_host.wire.catalog import Deployment

VALUE_BYTES_MAX: Final = 64 * KIB
ALL_BYTES_MAX: Final = MIB  # all of them are part of each activation

Tell = Callable[[dict[str, str]], Awaitable[None]]


class Secrets:
    """The secrets of a host; one per host, used by the event loop's thread."""

    def __init__(self, vault: Vault, registry: Registry, tell: Tell, log: EventLog) -> None:
        """`tell(values)` returns when every turn that starts sees these values."""
        self._vault = vault
        self._registry = registry
        self._tell = tell
        self._log = log

    async def list(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        """Their names, and when each was set."""
        return {"secrets": [_show(name, secret) for name, secret in self._vault.all().items()]}

    async def set(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Set one; every turn that starts after the return sees it.

        Raises:
            InvalidNameError: the name breaks the rule of identifiers, or env has it already.
            BadRequestError: the value is too large.
        """
        name, value = check_secret_name(str(arguments["name"])), str(arguments["value"])
        self._check_free(name)
        found = self._vault.all()
        _check_size(name, value, found)
        created = name not in found
        secret = Secret(value, now_us())
        self._vault.replace({**found, name: secret})
        await self._tell(self._vault.values())
        self._log.info("secret set", name=name)
        return {**_show(name, secret), "created": created}

    async def delete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Delete one; no turn that starts after the return sees it.

        Raises:
            UnknownSecretError: there is none of that name.
        """
        name = str(arguments["name"])
        found = self._vault.all()
        if name not in found:
            raise UnknownSecretError(f"there is no secret {name[:64]!r}")
        secret = found.pop(name)
        self._vault.replace(found)
        await self._tell(self._vault.values())
        self._log.info("secret deleted", name=name)
        return _show(name, secret)

    def check_deployment(self, deployment: Deployment) -> None:
        """Refuse a version that declares a name on env that a secret has.

        Raises:
            InvalidManifestError: which one.
        """
        declared = {each.binding: "a binding" for each in deployment.bindings}
        declared.update(dict.fromkeys(deployment.variables, "a variable"))
        for name in self._vault.all():
            if name in declared:
                raise InvalidManifestError(
                    f"{name} is {declared[name]} of {deployment.function!r} and a secret of this host: each name on "
                    "env is declared once, so rename it or delete the secret"
                )

    def _check_free(self, name: str) -> None:
        for deployment in self._registry.current():
            if name in deployment.variables or any(name == each.binding for each in deployment.bindings):
                kind = "variable" if name in deployment.variables else "binding"
                raise InvalidNameError(
                    f"{name} is a {kind} of the function {deployment.function!r}: each name on env is declared once, "
                    "so choose another one"
                )


def check_secret_name(name: str) -> str:
    """The name itself, or InvalidNameError."""
    check_identifier("secret", name)
    if name.startswith("_"):
        raise InvalidNameError(f"{name!r} is no name of a secret: a name on env does not begin with an underscore")
    return name


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


def _show(name: str, secret: Secret) -> dict[str, Any]:
    return {"name": name, "updated_at": utc_text(secret.changed_us)}
