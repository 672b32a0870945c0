"""What each function may ask, and which headers it gets by whose origin: the manifest's word and the operator's.

Both must allow a request. Secrets go from here into headers and nowhere else: no error and no log holds a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast_host.core.errors import OutboundDeniedError
from holdfast_host.core.outbound import PLACEHOLDER, Pattern, Target
from holdfast_host.core.tenants import key_of, name_of, tenant_of
from holdfast_host.wire.calls.http_messages import BadMessageError, check_header_value
from holdfast_host.wire.control.catalog import NO_OUTBOUND, Outbound


class Grants:
    """The grants of all functions; replaced as a whole when something is deployed or a secret is set."""

    def __init__(self, operator: Iterable[str]) -> None:
        """`operator`: the patterns of `--outbound`."""
        self._operator = [Pattern.parse(each) for each in operator]
        self._functions: dict[str, tuple[list[Pattern], Outbound]] = {}
        self._secrets: Mapping[str, str] = {}
        self._sealed: Mapping[str, str] = {}

    def set_functions(self, functions: Mapping[str, Outbound]) -> None:
        """What the deployed functions may ask, by their keys; these and no others."""
        self._functions = {
            name: ([Pattern.parse(each) for each in outbound.allow], outbound) for name, outbound in functions.items()
        }

    def set_secrets(self, values: Mapping[str, str], sealed: Mapping[str, str]) -> None:
        """Every secret by its key (see core.tenants); `sealed` has the origin of each that may go nowhere else."""
        self._secrets, self._sealed = values, sealed

    def knows(self, function: str) -> bool:
        """Whether it is deployed, as far as is known here."""
        return function in self._functions

    def check(self, function: str, target: Target) -> None:
        """Return when the function may ask that.

        Raises:
            OutboundDeniedError: the manifest or the operator does not allow it, and which.
        """
        patterns, outbound = self._functions.get(function, ([], NO_OUTBOUND))
        shown = f"{target.origin}{target.path}"
        if not any(pattern.matches(target) for pattern in patterns):
            listed = ", ".join(outbound.allow) or "nothing"
            raise OutboundDeniedError(
                f"{shown:.300} is not in [outbound] allow of {name_of(function)}, which lists: {listed}"
            )
        if not any(pattern.matches(target) for pattern in self._operator):
            raise OutboundDeniedError(f"{shown:.300} is not what this host's --outbound allows")

    def filled_headers(self, function: str, target: Target) -> list[tuple[str, str]]:
        """The headers that requests of this function to this origin get, filled in.

        Raises:
            OutboundDeniedError: a secret is not set, may not go there, or makes no header.
        """
        _, outbound = self._functions.get(function, ([], NO_OUTBOUND))
        headers = outbound.headers.get(target.origin, {})
        tenant = tenant_of(function)
        return [(name, self._fill(tenant, name, text, target.origin)) for name, text in headers.items()]

    def _fill(self, tenant: str, header: str, text: str, origin: str) -> str:
        for name in PLACEHOLDER.findall(text):
            key = key_of(tenant, name)
            if key not in self._secrets:
                raise OutboundDeniedError(
                    f"the header {header} for {origin} needs the secret {name}, which is not set: "
                    f"holdfast secret set {name}"
                )
            if self._sealed.get(key, origin) != origin:
                raise OutboundDeniedError(f"the secret {name} is sealed for {self._sealed[key]}, not for {origin}")
        try:
            return check_header_value(
                header, PLACEHOLDER.sub(lambda found: self._secrets[key_of(tenant, found[1])].strip(), text), origin
            )
        except BadMessageError as error:
            raise OutboundDeniedError(str(error)) from None
