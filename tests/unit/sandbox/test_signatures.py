"""The host's table of functions is what wit/ says."""

from __future__ import annotations

import re

from holdfast import _contract
from holdfast_host.sandbox.signatures import (
    CONTRACT_VERSION,
    EXPORTED,
    EXPORTS,
    FUNCTION_HANDLERS,
    HANDLER_NAMES,
    HANDLERS,
    IMPORTS,
    PACKAGE,
    REQUIRED_EXPORTS,
    Signature,
    minor_of,
    taken_names,
)
from tests.unit.sandbox.conftest import WIT


def functions_of(interface: str) -> dict[str, str]:
    """Each function of an interface as WIT, without names of parameters."""
    text = re.sub(r"//.*|/\*.*?\*/", "", (WIT / f"{interface}.wit").read_text())
    body = re.search(rf"interface {interface} {{(.*)}}", text, re.DOTALL)
    assert body is not None
    found: dict[str, str] = {}
    for name, parameters, result in re.findall(r"%?([\w-]+):\s*func\(([^)]*)\)([^;]*);", body[1]):
        types = [each.split(":")[1].strip() for each in parameters.split(",") if each.strip()]
        found[name] = " ".join(f"func({', '.join(types)}){result}".split())
    return found


def written(signatures: dict[str, Signature]) -> dict[str, str]:
    return {name: str(signature) for name, signature in signatures.items()}


def test_the_imports_are_those_of_the_contract() -> None:
    assert {interface: written(functions) for interface, functions in IMPORTS.items()} == {
        interface: functions_of(interface)
        for interface in ("storage", "alarms", "calls", "http", "jobs", "sockets", "log")
    }


def test_the_exports_are_those_of_the_contract() -> None:
    assert written(EXPORTS) == functions_of(EXPORTED)


def test_the_sdk_is_of_the_same_version_with_the_same_exports_handlers_and_names() -> None:
    assert _contract.CONTRACT_VERSION == CONTRACT_VERSION
    assert set(_contract.EXPORTS) == set(EXPORTS)
    assert list(_contract.HANDLERS) == list(HANDLERS)
    assert list(_contract.FUNCTION_HANDLERS) == list(FUNCTION_HANDLERS)
    assert _contract.HANDLER_NAMES == HANDLER_NAMES
    assert {*_contract.TAKEN, *HANDLER_NAMES} - {"ctx", "env"} == taken_names(minor_of(CONTRACT_VERSION) or 0)


def test_every_handler_is_run_by_an_export() -> None:
    assert {*HANDLERS.values(), *FUNCTION_HANDLERS.values()} <= EXPORTS.keys() - set(REQUIRED_EXPORTS)


def test_the_version_is_that_of_the_contract() -> None:
    packages = [re.findall(r"^package ([^;]+);", path.read_text(), re.MULTILINE) for path in WIT.glob("*.wit")]

    assert {name for names in packages for name in names} == {f"{PACKAGE}@{CONTRACT_VERSION}"}
