"""The pages of docs/: their code runs, their figures are those of the code; the links of all texts lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from markdown_it import MarkdownIt
from tools import reference

from holdfast_host.core.manifest import parse_manifest
from holdfast_host.front.routes.metrics import render_measures
from tests.harness.components import PROJECT, shared_compiles
from tests.harness.host import HOLDFAST, HostProcess

DOCS = PROJECT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
WITHOUT_CODE = {
    "export.md",
    "index.md",
    "inspector.md",
    "newcomer.md",
    "postgresql.md",
    "production.md",
    "s3.md",
    "security.md",
    "tokens.md",
    "tenants.md",
    "tracing.md",
    "vocabulary.md",
}  # for readers who write none
_HEAD = 'name = "of-a-part"\nmain = "src/app.py"\ncompatibility_date = "2026-11-01"\n'
TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
TEXTS = sorted(TRACKED.split())


def blocks(page: str, language: str) -> list[tuple[int, str]]:
    """The code blocks of a page in a language, with the numbers of their first lines."""
    text = (DOCS / page).read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, each.start(1)) + 1, each[1]) for each in found]


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_from_top_to_bottom(page: str) -> None:
    found = blocks(page, "python")
    assert bool(found) == (page not in WITHOUT_CODE), "a page for authors shows code"

    module = ModuleType(page.removesuffix(".md").replace("-", "_"))
    sys.modules[module.__name__] = module
    try:
        for line, text in found:
            code = compile("\n" * (line - 1) + text, str(DOCS / page), "exec", dont_inherit=True)
            exec(code, module.__dict__)
    finally:
        del sys.modules[module.__name__]


def links_of(text: str) -> list[str]:
    """Where its links and pictures lead, as Markdown has them: not what only looks like one, in code."""
    found = []
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        for token in block.children or ():
            target = token.attrGet("href") or token.attrGet("src")
            if target is not None:
                found.append(str(target))
    return found


def anchors_of(text: str) -> set[str]:
    """The anchors of its headings, as code forges make them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_of_a_text_leads_somewhere(page: str) -> None:
    missing = []
    for link in links_of((PROJECT / page).read_text()):
        path, _, anchor = link.partition("#")
        target = (PROJECT / page).parent / path if path else PROJECT / page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text())):
            missing.append(link)

    assert missing == []


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    listed = (PROJECT / "mkdocs.yml").read_text()
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]

    assert [page for page in sorted(pages) if page not in listed] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_manifest_on_a_page_keeps_every_rule(page: str) -> None:
    for _, text in blocks(page, "toml"):
        head = "" if text.startswith("name = ") else _HEAD
        assert parse_manifest(head + text).main == "src/app.py"


def test_a_file_of_settings_on_a_page_is_one(tmp_path: Path) -> None:
    [(_, text)] = blocks("operating.md", 'toml title="host.toml"')
    (tmp_path / "host.toml").write_text(text)
    (tmp_path / "token").write_text("secret")
    command = [HOLDFAST, "serve", "--config", "host.toml", "--print-config"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "method_timeout_s = 60" in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_on_a_page_are_there(page: str) -> None:
    shown = subprocess.run([HOLDFAST, "--help"], capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"(?:`|^|&& )holdfast ([a-z]+)", (DOCS / page).read_text(), re.MULTILINE))

    assert [name for name in sorted(named) if f"\n  {name} " not in shown and f"also: {name}" not in shown] == []


def test_the_metrics_that_pages_name_are_served_under_these_names() -> None:
    nothing = {"workers": [], "fronts": [], "couriers": [], "quarantined": {}, "deploys_waiting": 0, "private_bytes": 0}
    served = set(re.findall(r"^# TYPE (\w+) ", render_measures(nothing).decode(), re.MULTILINE))
    named = {each for page in PAGES for each in re.findall(r"`(holdfast_\w+)`", (DOCS / page).read_text())}

    assert sorted(named - served) == []


def test_what_is_written_from_the_code_is_up_to_date() -> None:
    stale = [name for name, page in reference.PAGES.items() if (DOCS / name).read_text() != page()]

    assert stale == [], "run: python tools/reference.py"


def test_the_reference_has_every_method_of_every_public_class_whichever_base_it_comes_from() -> None:
    page = set(re.findall(r"^### ([\w.]+)", (DOCS / "api.md").read_text(), re.MULTILINE))
    names = {value: name for name, value in reference.public_names().items() if isinstance(value, type)}
    missing = []
    for value, name in names.items():
        kinds = [kind for kind in value.__mro__ if kind.__module__.split(".")[0] == "holdfast"]
        members = [(each, member) for kind in kinds for each, member in vars(kind).items() if not each.startswith("_")]
        found = {each for each, member in members if callable(member) or isinstance(member, (property, classmethod))}
        headings = [names[kind] for kind in kinds if kind in names]
        missing += [
            f"{name}.{each}"
            for each in found - {"from_wire", "to_wire"}
            if not any(f"{heading}.{each}" in page for heading in headings)
        ]

    assert missing == []


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text()

    assert [page for page in PAGES if page != "index.md" and f"docs/{page}" not in readme] == []


def test_every_page_is_linked_from_the_first_page_of_the_site() -> None:
    linked = links_of((DOCS / "index.md").read_text())

    assert [page for page in PAGES if page != "index.md" and page not in linked] == []


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 160


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
            with shared_compiles(host.data):
                done = subprocess.run(
                    ["bash", "-ec", script],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=300,  # what a block leaves behind holds its output open
                )
            expected = [line.partition(" # ")[2].strip() for line in text.splitlines() if " # " in line]

            assert done.returncode == 0, done.stderr
            printed = done.stdout.replace("}{", "}\n{").split("\n")
            assert [each for each in expected if each not in printed and each not in " ".join(printed)] == []
