"""The pages of docs/: their code runs, their figures are those of the code, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tools import reference

from holdfast_host.core.manifest import parse_manifest
from tests.harness.components import PROJECT
from tests.harness.host import HOLDFAST, HostProcess

DOCS = PROJECT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def blocks(page: str, language: str) -> list[tuple[int, str]]:
    """The code blocks of a page in a language, with the numbers of their first lines."""
    text = (DOCS / page).read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, each.start(1)) + 1, each[1]) for each in found]


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_from_top_to_bottom(page: str) -> None:
    found = blocks(page, "python")
    assert found, "a page shows code"

    module = ModuleType(page.removesuffix(".md").replace("-", "_"))
    sys.modules[module.__name__] = module
    try:
        for line, text in found:
            code = compile("\n" * (line - 1) + text, str(DOCS / page), "exec", dont_inherit=True)
            exec(code, module.__dict__)
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text())

    assert [link for link in links if "://" not in link and not (DOCS / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_manifest_on_a_page_keeps_every_rule(page: str) -> None:
    for _, text in blocks(page, "toml"):
        assert parse_manifest(text).main == "src/app.py"


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_on_a_page_are_there(page: str) -> None:
    shown = subprocess.run([HOLDFAST, "--help"], capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"(?:`|^|&& )holdfast ([a-z]+)", (DOCS / page).read_text(), re.MULTILINE))

    assert [name for name in sorted(named) if f"\n  {name} " not in shown and f"also: {name}" not in shown] == []


def test_what_is_written_from_the_code_is_up_to_date() -> None:
    pages = {"api.md": reference.api_page(), "errors.md": reference.errors_page(), "limits.md": reference.limits_page()}

    stale = [name for name, text in pages.items() if (DOCS / name).read_text() != text]
    assert stale == [], "run: python tools/reference.py"


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text()

    assert [page for page in PAGES if f"docs/{page}" not in readme] == []


@pytest.mark.slow
def test_the_quick_start_prints_what_it_says(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host:
        environment = {
            **os.environ,
            "PATH": f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}",
            "HOLDFAST_HOST": host.url,
        }
        for _, text in blocks("quick-start.md", "bash"):
            script = text.replace("http://127.0.0.1:8787", host.url)
            done = subprocess.run(
                ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            expected = [line.partition(" # ")[2].strip() for line in text.splitlines() if " # " in line]

            assert done.returncode == 0, done.stderr
            printed = done.stdout.replace("}{", "}\n{").split("\n")
            assert [each for each in expected if each not in printed and each not in " ".join(printed)] == []
