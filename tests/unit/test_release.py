"""The version: one, wherever it is told, with a heading of its own in the changelog."""

from __future__ import annotations

import re
import tomllib
from datetime import date

from click.testing import CliRunner

from holdfast_host.cli.main import group
from holdfast_host.front.routes.openapi.document import describe_api
from tests.harness.components import PROJECT

VERSION: str = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]


def test_the_command_and_the_api_tell_the_version_of_the_package() -> None:
    told = CliRunner().invoke(group, ["--version"])

    assert told.output == f"holdfast, version {VERSION}\n"
    assert describe_api("http://127.0.0.1:8787", token=False)["info"]["version"] == VERSION


def test_the_changelog_has_a_heading_and_a_date_for_the_version_of_the_package() -> None:
    headings = re.findall("^## (.+)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "Unreleased"
    version, _, day = headings[1].partition(" - ")
    assert version == VERSION
    assert date.fromisoformat(day)
