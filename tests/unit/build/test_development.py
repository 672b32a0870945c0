"""What of a project goes into a development component, and what travels beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.build.development import ProjectFiles, fingerprint
from holdfast_host.build.errors import BuildError
from holdfast_host.build.scaffold import make_project
from holdfast_host.core.errors import InvalidNameError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, "shop")


def changed(before: ProjectFiles, stamps: dict[Path, tuple[int, int, int]]) -> set[Path]:
    now = before.stamps()
    return {path for path in now.keys() | stamps.keys() if now.get(path) != stamps.get(path)}


def test_the_sources_are_the_python_files_below_the_directory_of_main(project: Path) -> None:
    (project / "src" / "pack").mkdir()
    (project / "src" / "pack" / "__init__.py").write_text("X = 1\n")
    (project / "src" / "prices.json").write_text("{}")
    sources = ProjectFiles(project).sources()

    assert (sources["main"], sources["root"]) == ("app", "src")
    assert sorted(sources["files"]) == ["app.py", "bindings.py", "pack/__init__.py"]


def test_a_save_a_new_file_and_a_removed_one_are_seen_and_told_apart(project: Path) -> None:
    files = ProjectFiles(project)
    stamps = files.stamps()
    assert changed(files, stamps) == set()

    (project / "src" / "app.py").write_text("x = 1\n")
    (project / "src" / "new.py").write_text("")
    (project / "src" / "bindings.py").unlink()
    found = changed(files, stamps)
    assert {path.name for path in found} == {"app.py", "new.py", "bindings.py"}
    assert files.only_sources(found)

    (project / "tests" / "test_app.py").write_text("")
    (project / "src" / ".app.py.swp").write_text("")
    assert changed(files, stamps) == found


@pytest.mark.parametrize("name", ["holdfast.toml", "requirements.txt", "src/prices.json"])
def test_what_is_no_source_takes_a_build(project: Path, name: str) -> None:
    files = ProjectFiles(project)
    stamps = files.stamps()
    with (project / name).open("a") as file:
        file.write("\n")

    assert not files.only_sources(changed(files, stamps))


def test_sources_that_are_too_large_or_no_text_are_refused_with_their_limit(project: Path) -> None:
    (project / "src" / "big.py").write_text("#" * 4_000_000)
    with pytest.raises(BuildError, match="the limit of holdfast dev is 3145728"):
        ProjectFiles(project).sources()

    (project / "src" / "big.py").write_bytes(b"\xff")
    with pytest.raises(BuildError, match=r"src/big\.py"):
        ProjectFiles(project).sources()


def test_equal_sources_have_equal_fingerprints(project: Path) -> None:
    first = fingerprint(ProjectFiles(project).sources())
    text = (project / "src" / "app.py").read_text()
    (project / "src" / "app.py").write_text(text + "\n")
    assert fingerprint(ProjectFiles(project).sources()) != first

    (project / "src" / "app.py").write_text(text)
    assert fingerprint(ProjectFiles(project).sources()) == first


def test_a_new_project_replaces_nothing(project: Path) -> None:
    with pytest.raises(BuildError, match="is there already"):
        make_project(project.parent, "shop")
    with pytest.raises(InvalidNameError):
        make_project(project.parent, "No_Function")
