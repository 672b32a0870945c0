"""What a change of a function starts from: what is deployed under its key now, and what is kept of it.

It only reads the registry. Functions are named by their keys, see core.tenants.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_host.core.errors import UnknownFunctionError, UnknownVersionError
from holdfast_host.core.failures import required
from holdfast_host.core.manifest import Manifest, parse_manifest
from holdfast_host.core.tenants import name_of, tenant_of
from holdfast_host.supervisor.registry.tenant_registry import TenantRegistry

if TYPE_CHECKING:
    from holdfast_host.supervisor.registry.records import FunctionRecord, VersionRecord
    from holdfast_host.supervisor.registry.registry import Registry
    from holdfast_host.wire.control.catalog import Deployment


class Deployed:
    """One per host, used by the event loop's thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def of(self, function: str) -> TenantRegistry:
        """What the tenant of this function has."""
        return TenantRegistry(self._registry, tenant_of(function))

    def function(self, function: str) -> FunctionRecord:
        """The function that is deployed under this key.

        Raises:
            UnknownFunctionError: none is.
        """
        record = self.of(function).named(name_of(function))
        if record is None or record.current is None:
            raise UnknownFunctionError(f"no function {name_of(function)!r} is deployed")
        return record

    def current(self, record: FunctionRecord) -> VersionRecord:
        """The version of a deployed function that runs."""
        current = required(record.current, f"the current version of {record.name!r}")
        return required(self._registry.version(record.func_id, current), f"version {current} of {record.name!r}")

    def kept(self, record: FunctionRecord, version: int | None) -> Deployment:
        """A kept version of a deployed function, the one before the current one where none is named.

        Raises:
            UnknownVersionError: there is none.
        """
        current = required(record.current, f"the current version of {record.name!r}")
        kept = [each.deployment.version for each in self._registry.versions(record.func_id)]
        if version is None:
            version = next((each for each in kept if each < current), None)
        if version is None or version not in kept:
            numbers = ", ".join(map(str, sorted(kept)))
            raise UnknownVersionError(f"{record.name!r} has no such version to go back to; kept are {numbers}")
        found = required(self._registry.version(record.func_id, version), f"version {version} of {record.name!r}")
        return found.deployment

    def runs_already(self, known: FunctionRecord, manifest: Manifest | None, sha256: str) -> bool:
        """True when the current version is made of the same bytes and an equal manifest, comments and id aside."""
        current = None if known.current is None else self._registry.version(known.func_id, known.current)
        if current is None or current.deployment.sources:
            return False
        if current.deployment.sha256 != sha256 or not Path(current.deployment.compiled).exists():
            return False
        if manifest is None or current.manifest is None:
            return manifest is None and current.manifest is None
        return replace(parse_manifest(current.manifest), func_id=None) == replace(manifest, func_id=None)
