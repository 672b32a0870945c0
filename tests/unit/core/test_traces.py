"""Where spans go: the flag, the variables, and what is said where it cannot be."""

from __future__ import annotations

import pytest

from holdfast_host.core import traces
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.traces import name_untraced, read_traces

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
OWN = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("given", "variables", "url"),
    [
        (None, {}, ""),
        ("off", {BASE: "http://c:4318"}, ""),
        ("http://c:4318", {}, "http://c:4318/v1/traces"),
        ("http://c:4318/", {}, "http://c:4318/v1/traces"),
        ("https://c/otlp/v1/traces", {BASE: "http://other:4318"}, "https://c/otlp/v1/traces"),
        (None, {BASE: "http://c:4318"}, "http://c:4318/v1/traces"),
        (None, {BASE: "http://c/otlp/"}, "http://c/otlp/v1/traces"),
        (None, {OWN: "http://c:4318/in"}, "http://c:4318/in"),
        (None, {OWN: "http://t/in", BASE: "http://c:4318"}, "http://t/in"),
        (None, {BASE: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://c:4318/v1/traces"),
        (None, {BASE: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, ""),
        (None, {BASE: "http://c:4318", "OTEL_TRACES_EXPORTER": "console, otlp"}, "http://c:4318/v1/traces"),
        (None, {"OTEL_TRACES_EXPORTER": "zipkin"}, ""),
        ("http://c/v1/@team", {}, "http://c/v1/@team"),
        (None, {BASE: "http://c:4318", "OTEL_SDK_DISABLED": "true"}, ""),
        ("http://c:4318", {"OTEL_SDK_DISABLED": "TRUE"}, ""),
        (None, {BASE: "  "}, ""),
    ],
)
def test_the_flag_wins_over_the_variables_which_count_as_everywhere(
    given: str | None, variables: dict[str, str], url: str
) -> None:
    assert read_traces(given, variables) == url
    assert name_untraced(given, variables) is None


@pytest.mark.parametrize(
    "url",
    ["", "c:4318", "ftp://c", "http://", "http://c:x", "http://c:0", "http://c/?a=1", "http://c/#a", "http://a b"],
)
def test_what_is_no_url_of_a_collector_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--traces '.*' is neither 'off' nor the URL of a collector"):
        read_traces(url, {})


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@c:4318",
        "http://user:hunter2@c:99999",
        "http://user:hunter2@c:4318/?a=1",
        "http://user:hunter2/@c",
        "user:hunter2@c:4318",
        "http://user:hunter2@[c",
        "http://c:4318/v1/traces?key=hunter2",
    ],
)
def test_a_password_or_key_in_the_url_is_refused_and_not_shown(url: str) -> None:
    """Whatever else is wrong with it: what the variables say wrong stands in the log."""
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_HEADERS") as caught:
        read_traces(url, {})

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(name_untraced(None, {BASE: url}))
    assert BASE in str(name_untraced(None, {BASE: url}))


def test_without_the_extra_the_flag_is_refused_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_NEEDED", ("no_such_package.sdk",))

    with pytest.raises(ConfigurationError, match=r"pip install 'holdfast\[otel\]'"):
        read_traces("http://c:4318", {})


def test_what_the_variables_want_and_cannot_have_is_said_and_the_host_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be set for all programs of a machine."""
    grpc = {BASE: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    assert read_traces(None, grpc) == ""
    assert "only http/protobuf is spoken" in str(name_untraced(None, grpc))
    console = {BASE: "http://c:4318", "OTEL_TRACES_EXPORTER": "console"}
    assert read_traces(None, console) == ""
    assert "OTEL_TRACES_EXPORTER is 'console'" in str(name_untraced(None, console))
    assert read_traces(None, {BASE: "c:4318"}) == ""
    assert BASE in str(name_untraced(None, {BASE: "c:4318"}))
    monkeypatch.setattr(traces, "_NEEDED", ("no_such_package.sdk",))
    assert read_traces(None, {BASE: "http://c:4318"}) == ""
    assert "holdfast[otel]" in str(name_untraced(None, {BASE: "http://c:4318"}))
    assert name_untraced("off", {BASE: "http://c:4318"}) is None
