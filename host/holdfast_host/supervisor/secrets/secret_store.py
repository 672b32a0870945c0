"""Secrets at rest: each value sealed under a key file, together with its name.

`secrets/key` is made with the first secret and never changes; `secrets/sealed.json` is replaced whole. Who has a copy
of the second without the first has names and lengths. Hosts that share a store have the sealed ones there, and each
has a copy of the one key, see store_key.py. A value leaves this module for the workers only; no error, and so no log,
ever holds one.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import ConfigurationError, HostUnavailableError
from holdfast_host.core.tenants import DEFAULT_TENANT, tenant_of
from holdfast_host.storage.records import Document, MovedError
from holdfast_host.supervisor.registry.file_document import FileDocument

FORMAT: Final = 1
FORMAT_SEALED: Final = 2  # with secrets that are for one origin: a release that knows none must not put them on `env`
FORMAT_TENANTS: Final = 3  # with secrets of tenants, whose keys are no names that such a release has
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class CourierSecrets:
    """All values by name, and of the sealed ones the origin."""

    values: dict[str, str]
    sealed: dict[str, str]

    def __repr__(self) -> str:
        return f"<CourierSecrets {', '.join(self.values)}>"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret, open; its value is kept out of its repr."""

    value: str
    changed_us: int
    sealed_for: str | None = None  # the one origin that it may be sent to, by the courier; no sandbox sees it then

    def __repr__(self) -> str:
        return f"<Secret of {len(self.value)} characters>"


class SecretStore:
    """The secrets of one data directory, or of a store; opened by the supervisor, used by its thread."""

    def __init__(self, sealed: Document, key: Path) -> None:
        """Use `open`."""
        self._sealed = sealed
        self._key_file = key
        self._found: dict[str, Secret] = {}
        self._is_new = True  # nothing was ever sealed

    @classmethod
    def open(cls, folder: Path, sealed: Document | None = None, key: Path | None = None) -> SecretStore:
        """Read what is there.

        Args:
            folder: of the data directory; it is made if it is not there.
            sealed: the home of the sealed ones, where that is not the folder.
            key: the key's file, where that is not in the folder.

        Raises:
            ConfigurationError: the key is missing, or is not the one that the secrets were sealed under.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        vault = cls(sealed or FileDocument(folder / "sealed.json"), key or folder / "key")
        vault.reload()
        return vault

    def reload(self) -> None:
        """Read anew what is there: another host may have changed it.

        Raises:
            ConfigurationError: the key is missing, or is not the one that the secrets were sealed under.
            HostUnavailableError: it cannot be read now; what was read last stays.
        """
        place = self._sealed.place
        try:
            text = self._sealed.read()
            self._found = {} if text is None else self._opened(text)
            self._is_new = text is None
        except InvalidTag:
            raise ConfigurationError(
                f"{self._key_file} is not the key under which {place} was sealed: restore both from the "
                "same backup, or remove both and set the secrets again"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{error.filename or place} cannot be read ({error.strerror}): restore it from a backup"
            ) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{place} cannot be read ({type(error).__name__}): restore it from a backup"
            ) from None

    def all(self) -> dict[str, Secret]:
        """Every secret by its key (see core.tenants), in their order."""
        return dict(sorted(self._found.items()))

    def values(self) -> dict[str, str]:
        """What `env` of every function has; for the workers alone."""
        return {name: secret.value for name, secret in self.all().items() if secret.sealed_for is None}

    def for_courier(self) -> CourierSecrets:
        """What goes into headers of outbound requests; for the courier alone."""
        found = self.all()
        sealed = {name: secret.sealed_for for name, secret in found.items() if secret.sealed_for is not None}
        return CourierSecrets({name: secret.value for name, secret in found.items()}, sealed)

    def replace(self, found: dict[str, Secret]) -> None:
        """Keep these secrets, by their keys, and no others; durable on return.

        Raises:
            MovedError: another host has changed them; what they are now has been read, to be decided over.
            HostUnavailableError: the disk does not let us; nothing was changed.
        """
        try:
            self._write(found)
        except MovedError:
            self.reload()
            raise
        except OSError as error:
            raise HostUnavailableError(f"the secrets cannot be written ({error.strerror}); nothing changed") from error
        self._found = dict(found)
        self._is_new = False

    def _opened(self, text: bytes) -> dict[str, Secret]:
        facts = json.loads(text)
        if facts["format"] not in {FORMAT, FORMAT_SEALED, FORMAT_TENANTS}:
            raise ConfigurationError(
                f"{self._sealed.place} has format {facts['format']}, this host reads formats up to {FORMAT_TENANTS}"
            )
        found = {}
        cipher = AESGCM(self._key(new=False))
        for name, entry in facts["secrets"].items():
            sealed = base64.b64decode(entry["sealed"], validate=True)
            origin = entry.get("for")
            bound = _bound_to(name, origin)
            value = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound).decode()
            found[name] = Secret(value, entry["changed_us"], origin)
        return found

    def _write(self, found: dict[str, Secret]) -> None:
        cipher = AESGCM(self._key(new=self._is_new))
        entries: dict[str, dict[str, object]] = {}
        for name, secret in sorted(found.items()):
            nonce = secrets.token_bytes(_NONCE_BYTES)
            bound = _bound_to(name, secret.sealed_for)
            sealed = nonce + cipher.encrypt(nonce, secret.value.encode(), bound)
            entries[name] = {"sealed": base64.b64encode(sealed).decode(), "changed_us": secret.changed_us}
            if secret.sealed_for is not None:
                entries[name]["for"] = secret.sealed_for
        number = FORMAT if all(secret.sealed_for is None for secret in found.values()) else FORMAT_SEALED
        if any(tenant_of(key) != DEFAULT_TENANT for key in found):
            number = FORMAT_TENANTS
        self._sealed.write(json.dumps({"format": number, "secrets": entries}, indent=1).encode())

    def _key(self, *, new: bool) -> bytes:
        """The key; a new one only where nothing is sealed yet."""
        path = self._key_file
        try:
            return read_key_file(path)
        except FileNotFoundError:
            if not new:
                raise ConfigurationError(
                    f"{path} is missing, {self._sealed.place} cannot be opened without it: restore it from a backup, "
                    "or remove that file and set the secrets again"
                ) from None
            return make_key_file(path)


def read_key_file(path: Path) -> bytes:
    """The key that a file holds.

    Raises:
        FileNotFoundError: there is none.
        ConfigurationError: it holds none.
    """
    try:
        key = base64.b64decode(path.read_bytes(), validate=True)
    except ValueError:
        raise ConfigurationError(f"{path} is damaged, it is no base64: restore it from a backup") from None
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(f"{path} holds {len(key)} bytes, a key has {_KEY_BYTES}: restore it from a backup")
    return key


def make_key_file(path: Path) -> bytes:
    """A new key, durable in its file."""
    key = secrets.token_bytes(_KEY_BYTES)
    write_durably(path, base64.b64encode(key))
    return key


def _bound_to(name: str, origin: str | None) -> bytes:
    """What a sealed value opens together with: who writes another origin beside it in the file opens nothing."""
    return name.encode() if origin is None else f"{name}\n{origin}".encode()
