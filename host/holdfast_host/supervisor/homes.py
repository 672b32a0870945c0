"""Where a host keeps what is not its instances' storage: in its data directory, or with other hosts in a store.

One interface, see storage/records.py, has two homes. What is of one host alone lies in its directory in both: its lock,
its log, what it has compiled, and its copies of components.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast_host.core.errors import ConfigurationError, HostUnavailableError
from holdfast_host.sandbox.components.compiled_store import KeptComponent
from holdfast_host.supervisor.audit.audit_log import AuditLog
from holdfast_host.supervisor.crashes.quarantine import Quarantine
from holdfast_host.supervisor.directory.component_files import ComponentFiles, DamagedComponentError
from holdfast_host.supervisor.processes.front_numbers import FrontNumbers, read_next
from holdfast_host.supervisor.registry.file_document import FileDocument
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.secrets.secret_store import SecretStore
from holdfast_host.supervisor.secrets.store_key import agree
from holdfast_host.supervisor.tokens.token_store import TokenStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from holdfast_host.storage.postgres.records.homes import StoreHomes
    from holdfast_host.storage.records import AuditLines, SharedComponents
    from holdfast_host.supervisor.directory.layout import DirectoryLayout
    from holdfast_host.supervisor.registry.mirror import CompiledName
    from holdfast_host.wire.control.starts import CentralStore


@dataclass(frozen=True, slots=True)
class Homes:
    """All of it, open; the supervisor's."""

    registry: Registry
    front_numbers: FrontNumbers
    quarantine: Quarantine
    vault: SecretStore
    tokens: TokenStore
    audit: AuditLines
    components: SharedComponents | None  # where they come from that are not in the directory; None: from nowhere
    moved: Callable[[], Collection[str]] | None  # see following.py


def open_directory_homes(directory: DirectoryLayout, audit_bytes_max: int, cleanup: ExitStack) -> Homes:
    """Those of a data directory that is locked.

    Raises:
        ConfigurationError: something there cannot be read.
    """
    vault = SecretStore.open(directory.secrets)
    tokens = TokenStore.open(directory.tokens)
    audit = AuditLog.open(directory.audit, audit_bytes_max)
    registry = Registry.open(directory.registry, directory.compiled)
    cleanup.callback(registry.close)
    quarantine, fronts = Quarantine.open(directory.quarantine), FrontNumbers.open(directory.fronts)
    return Homes(registry, fronts, quarantine, vault, tokens, audit, None, None)


def open_store_homes(
    store: CentralStore, key: Path | None, directory: DirectoryLayout, audit_bytes_max: int, cleanup: ExitStack
) -> Homes:
    """Those of a store that this host has bound itself to.

    Args:
        store: which one.
        key: the file of the key that all its hosts have; None: it is in the directory.
        directory: the host's own, locked.
        audit_bytes_max: how much of the audit log is kept.
        cleanup: closes them.

    Raises:
        ConfigurationError: the store or something there cannot be read, or the key is not the store's.
    """
    from holdfast_host.storage.postgres.records.homes import StoreHomes, StoreKey
    from holdfast_host.storage.postgres.session import StoreAddress, StoreUnreachableError

    address = StoreAddress(store.dsn, store.durability)
    key = key or directory.secrets / "key"
    try:
        known = StoreKey(address, store.host)
        cleanup.callback(known.close)
        agree(key, known)
        homes = StoreHomes(address, store.host, audit_bytes_max)
        cleanup.callback(homes.close)
        if homes.registry.is_elsewhere():
            bring(directory, homes)
        registry = Registry.shared(homes.registry, directory.compiled, _compiled_name(directory))
        cleanup.callback(registry.close)
        return Homes(
            registry,
            FrontNumbers(homes.fronts.take),
            Quarantine.open(homes.documents["quarantine"]),
            SecretStore.open(directory.secrets, homes.documents["secrets"], key),
            TokenStore.open(homes.documents["tokens"]),
            homes.audit,
            homes.components,
            homes.moved,
        )
    except (HostUnavailableError, StoreUnreachableError) as error:
        raise ConfigurationError(f"--store: {error.message}") from error


def bring(directory: DirectoryLayout, homes: StoreHomes, left: str = "") -> None:
    """Bring into a store what a data directory has of all that. It may be killed at any step, and done again.

    Args:
        directory: locked.
        homes: of the store.
        left: what is to be done before the store is served; empty for nothing.

    Raises:
        ConfigurationError: something in the directory cannot be read.
        StorageFullError, HostUnavailableError: the store cannot be written.
    """
    if not directory.registry.exists():
        raise ConfigurationError(
            f"{directory.registry} is gone, which the store has to be given: restore it from a backup"
        )
    registry = Registry.open(directory.registry, directory.compiled)
    try:
        for sha256 in sorted({each.sha256 for each in registry.kept()}):
            with _component(directory, sha256) as component:
                if component is not None:
                    homes.components.put(sha256, component)
        for name, path in directory.documents.items():
            content = FileDocument(path).read()
            if content is not None:
                homes.documents[name].read()
                homes.documents[name].write(content)
        homes.fronts.pass_by(read_next(directory.fronts))
        homes.audit.adopt(AuditLog.open(directory.audit, 1 << 62).read(0, 1 << 62))
        homes.registry.adopt(*registry.rows(), left)  # the last: from here on the store has it
    finally:
        registry.close()


@contextmanager
def _component(directory: DirectoryLayout, sha256: str) -> Iterator[Path | None]:
    """A component as it was deployed; None where it is not there."""
    directory.uploads.mkdir(mode=0o700, exist_ok=True)
    try:
        with ComponentFiles(directory.components).as_deployed(sha256, directory.uploads) as component:
            yield component
    except DamagedComponentError as error:
        raise ConfigurationError(f"{error}: restore it from a backup") from error


def _compiled_name(directory: DirectoryLayout) -> CompiledName:
    return lambda sha256: KeptComponent.at(directory.compiled, sha256).compiled.name
