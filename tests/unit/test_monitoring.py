"""The dashboard and the alerts of docs/packaging/: what they ask of Prometheus is what /metrics has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from click import Context
from prometheus_client.core import HistogramMetricFamily

from holdfast_host.cli.main import group
from holdfast_host.core import errors
from holdfast_host.core.limits import Limits
from holdfast_host.front.routes.metrics import HostCollector
from tests.harness.components import PROJECT

ALERTS = PROJECT / "docs" / "packaging" / "prometheus" / "alerts.yaml"
BOARD = PROJECT / "docs" / "packaging" / "grafana" / "holdfast.json"
OF_PROMETHEUS = {"job", "instance"}  # on each series, by whoever scrapes it
STATES = {"ok", "abandoned", "parked"}  # outcomes that are no errors

NAME = re.compile(r"(?<![$\w])[a-z_]\w*")
SELECTED = re.compile(r"(\w+)\{([^}]*)\}")
MATCHED = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def served() -> dict[str, set[str]]:
    """The names of all samples of /metrics, with their labels."""
    found: dict[str, set[str]] = {"up": set()}
    nothing = {"workers": [], "fronts": [], "couriers": [], "quarantined": {}, "deploys_waiting": 0, "private_bytes": 0}
    for family in HostCollector(nothing).collect():
        values = ["x"] * 9  # as many as it has labels are taken
        if isinstance(family, HistogramMetricFamily):
            family.add_metric(values, [("1.0", 0), ("+Inf", 0)], 0)
        else:
            family.add_metric(values, 0)  # type: ignore[attr-defined] # of each family that is made for a scrape
        for sample in family.samples:
            found[sample.name] = {*found.get(sample.name, ()), *sample.labels}
    return found


def rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BOARD.read_text())
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and what it asks."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]


def metrics_of(expression: str) -> list[str]:
    """The names in it that are neither labels, functions nor words of the language."""
    plain = GROUPED.sub("", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", expression))
    return [name for name in NAME.findall(plain) if name == "up" or name.startswith("holdfast_")]


EXPRESSIONS = dict(expressions())


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_are_served(where: str) -> None:
    expression, known = EXPRESSIONS[where], served()
    names = metrics_of(expression)
    assert names, "it asks for nothing of ours"
    assert [name for name in names if name not in known] == []

    labels = set.union(OF_PROMETHEUS, *(known[name] for name in names))
    grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
    matched = {
        (name, label) for name, matchers in SELECTED.findall(expression) for label, _, _ in MATCHED.findall(matchers)
    }
    assert grouped <= labels
    assert {(name, label) for name, label in matched if label not in known[name] | OF_PROMETHEUS} == set()
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_a_histogram_keeps_its_bounds_and_a_counter_is_asked_how_it_grows(where: str) -> None:
    expression = EXPRESSIONS[where]

    assert expression.count("_bucket") == len(re.findall(r"by \([^)]*\ble\) \(rate\(\w+_bucket", expression))
    for name in re.findall(r"\w+_total\b", expression):
        assert expression.count(name) == len(re.findall(rf"(?:rate|increase)\({name}\b[^)]*\[", expression)), name


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_an_outcome_that_is_asked_for_is_one(where: str) -> None:
    known = STATES | {name for name, value in vars(errors).items() if isinstance(value, type)}
    asked = [
        outcome
        for _, matchers in SELECTED.findall(EXPRESSIONS[where])
        for label, _, values in MATCHED.findall(matchers)
        if label == "outcome"
        for outcome in values.split("|")
    ]

    assert [outcome for outcome in asked if outcome not in known] == []


def test_every_metric_of_the_host_is_on_the_dashboard() -> None:
    shown = {name for panel in board()["panels"] for t in panel.get("targets", ()) for name in metrics_of(t["expr"])}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    wanted = {re.sub(r"_(bucket|sum|count)$", "", name) for name in served()} - {"up"}

    assert sorted(wanted - families) == []


def test_the_legends_of_the_dashboard_name_labels_that_are_left() -> None:
    known = served()
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
            aggregated = re.match(r"(sum|min|max|histogram_quantile)\b", expression)
            [*names] = metrics_of(expression)
            left = grouped if aggregated else OF_PROMETHEUS.union(*(known[name] for name in names))

            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left, panel["title"]


def test_the_dashboard_has_one_id_a_panel_no_two_at_one_place_and_its_source_is_a_variable() -> None:
    panels, variables = board()["panels"], {each["name"]: each for each in board()["templating"]["list"]}
    places = [
        (x, y)
        for panel in panels
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    sources = [each["datasource"] for each in panels if each["type"] != "row"]
    sources += [target["datasource"] for panel in panels for target in panel.get("targets", ())]
    sources += [each["datasource"] for each in variables.values() if each["type"] == "query"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    assert variables["datasource"]["type"] == "datasource"
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    assert set(re.findall(r"\$(\w+)", " ".join(EXPRESSIONS.values()))) <= {*variables, "__rate_interval"}
    assert "__inputs" not in board()


def test_the_variables_of_the_dashboard_are_labels_of_what_is_served() -> None:
    queries = [each["definition"] for each in board()["templating"]["list"] if each["type"] == "query"]
    found = [re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", query) for query in queries]

    assert [match and (match[1] in served(), match[2] in OF_PROMETHEUS) for match in found] == [(True, True)] * 2


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        texts = rule["annotations"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert set(texts) == {"summary", "action"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert "$labels.instance" in texts["summary"]
        assert texts["action"].endswith(".")


@pytest.mark.parametrize("rule", rules(), ids=[rule["alert"] for rule in rules()])
def test_an_alert_names_labels_that_its_series_have(rule: dict[str, Any]) -> None:
    expression, known = rule["expr"], served()
    groups = [{label.strip() for label in group.split(",")} - {"le"} for group in GROUPED.findall(expression)]
    left = set.intersection(*groups) if groups else OF_PROMETHEUS.union(*(known[n] for n in metrics_of(expression)))

    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= left


def test_the_commands_limits_and_routes_that_an_alert_names_are_there() -> None:
    text = " ".join(rule["annotations"]["action"] for rule in rules())
    commands = set(re.findall(r"\bholdfast ([a-z]+)\b", text))
    limits = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text))

    assert {"top", "quarantined", "release", "job", "alarm"} <= commands
    assert [name for name in sorted(commands) if group.get_command(Context(group), name) is None] == []
    assert [name for name in sorted(limits) if not hasattr(Limits(), name)] == []
    assert set(re.findall(r"(/\w+/\w+)", text)) - {"docs/operating"} <= {"/health/readiness"}


def test_prometheus_takes_the_alerts() -> None:
    """Where its tool is installed; all else of this file needs none."""
    promtool = shutil.which("promtool")
    if promtool is not None:
        done = subprocess.run([promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_page_of_operators_names_both_files() -> None:
    page = Path(PROJECT / "docs" / "operating.md").read_text()

    assert "docs/packaging/grafana/holdfast.json" in page
    assert "docs/packaging/prometheus/alerts.yaml" in page
