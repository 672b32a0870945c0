"""Where spans are sent: what `--traces` says, else the standard variables of OpenTelemetry.

Only OTLP over HTTP is spoken, in its binary form. The other `OTEL_...` variables (sampler, service, headers,
certificates, timeouts, batches) are read by the library that sends, in the processes that do. A variable is often set
for all programs of a machine: what cannot be done for it is said, and the host starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import SplitResult, urlsplit

from holdfast_host.core.errors import ConfigurationError

OFF: Final = "off"
_EXTRA: Final = "pip install 'holdfast[otel]'"
_PATH: Final = "/v1/traces"
_PROTOCOL: Final = "http/protobuf"
_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_EXPORTER, _OTLP = "OTEL_TRACES_EXPORTER", "otlp"
_ENDPOINT, _TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def read_traces(given: str | None, environment: Mapping[str, str]) -> str:
    """The URL to which spans are sent; empty: nothing is traced.

    Args:
        given: what `--traces` says; None where it says nothing, so that the variables count.
        environment: the variables.

    Raises:
        ConfigurationError: what `--traces` says is no such URL, or what sends spans is not installed.
    """
    if given == OFF or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    if given is None:
        try:
            return _by_variables(environment)
        except ConfigurationError:
            return ""
    url = _checked("--traces", given)
    _check_extra(f"--traces {given}")
    return (url if url.path.rstrip("/") else url._replace(path=_PATH)).geturl()


def name_untraced(given: str | None, environment: Mapping[str, str]) -> str | None:
    """One sentence about variables that ask for spans and cannot have them; None where there are none."""
    try:
        if given is None:
            _by_variables(environment)
    except ConfigurationError as error:
        return f"nothing is traced: {error.message}"
    return None


def _by_variables(environment: Mapping[str, str]) -> str:
    """The URL that the variables say, by the rules of OpenTelemetry.

    Raises:
        ConfigurationError: they say what this host cannot do.
    """
    name = next((each for each in (_TRACES_ENDPOINT, _ENDPOINT) if environment.get(each, "").strip()), None)
    exporters = {each.strip() for each in (environment.get(_EXPORTER, "").strip() or _OTLP).split(",")}
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if name is None or exporters == {"none"} or disabled:
        return ""
    if _OTLP not in exporters:
        raise ConfigurationError(f"{_EXPORTER} is {environment[_EXPORTER]!r}, and only {_OTLP} is there: say so there")
    variable = next(filter(environment.get, _PROTOCOLS), None)
    if variable is not None and environment[variable] != _PROTOCOL:
        raise ConfigurationError(
            f"{variable} is {environment[variable]!r}, and only {_PROTOCOL} is spoken: say so there"
        )
    url = _checked(name, environment[name].strip())
    _check_extra(name)
    return (url._replace(path=url.path.rstrip("/") + _PATH) if name == _ENDPOINT else url).geturl()


def _checked(source: str, text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if "@" in text and not (good and url.username is None and url.password is None):
        raise ConfigurationError(f"{source} holds a password: give it in OTEL_EXPORTER_OTLP_HEADERS instead")
    if not good or url.query or url.fragment or any(each.isspace() for each in text):
        shown, query, _ = text.partition("?")  # where some have a key
        raise ConfigurationError(
            f"{source} {shown + query + '...' * bool(query)!r} is neither {OFF!r} nor the URL of a collector, as in "
            "'http://127.0.0.1:4318': a key is given in OTEL_EXPORTER_OTLP_HEADERS"
        )
    return url


def _check_extra(source: str) -> None:
    if not all(map(_is_there, _NEEDED)):
        raise ConfigurationError(f"{source} needs what sends spans: {_EXTRA}")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
