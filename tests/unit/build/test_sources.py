"""What of a project gets into a build, and what never does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from holdfast_host.build.development import ProjectFiles
from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import describe_project
from holdfast_host.build.sources import copy_project
from tests.harness.projects import run
from tests.unit.build.test_build import files_of, project

OUT = "it leads out of the project"


@pytest.mark.parametrize(
    ("link", "target", "message"),
    [
        ("src/env.txt", "/proc/self/environ", f"src/env.txt: {OUT}"),
        ("src/key.py", "../../secret.py", f"src/key.py: {OUT}"),
        ("src/all", "/etc", f"src/all: {OUT}"),
        ("src/more", "../more", "src/more: a link to a directory"),
        ("src/env.txt", "../.env", r"src/env.txt: it leads to .env, which is left out of builds"),
        ("src/env.txt", "../.git/config", r"src/env.txt: it leads to .git/config, which is left out of builds"),
        ("holdfast.toml", "../holdfast.toml", f"holdfast.toml: {OUT}"),
        ("requirements.txt", "/etc/hostname", f"requirements.txt: {OUT}"),
        ("build", "../elsewhere", f"build: {OUT}"),
    ],
)
def test_no_link_brings_into_a_build_what_is_not_the_projects(
    tmp_path: Path, link: str, target: str, message: str
) -> None:
    directory = project(tmp_path / "p")
    for name in ("elsewhere", "p/more", "p/.git"):
        (tmp_path / name).mkdir()
    for name in ("secret.py", "p/.env", "p/.git/config"):
        (tmp_path / name).write_text("TOKEN = 'hunter2'\n")
    (tmp_path / "holdfast.toml").write_text((directory / "holdfast.toml").read_text())
    (directory / link).unlink(missing_ok=True)
    (directory / link).symlink_to(target)

    with pytest.raises(BuildError, match=f"^{message}"):
        describe_project(directory)


def test_a_hard_link_to_a_file_of_another_user_is_refused_and_one_of_ones_own_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project(tmp_path / "p")
    (tmp_path / "other.py").write_text("TOKEN = 'hunter2'\n")
    (directory / "src" / "other.py").hardlink_to(tmp_path / "other.py")
    copy_project(directory, directory / "src", tmp_path / "own")

    def foreign(opened: int) -> os.stat_result:
        facts = list(os.stat(opened))
        facts[stat.ST_UID] += 1
        return os.stat_result(facts)

    monkeypatch.setattr(os, "fstat", foreign)
    with pytest.raises(BuildError, match=r"^src/other.py: a hard link to a file of another user"):
        copy_project(directory, directory / "src", tmp_path / "anothers")


def test_development_takes_no_more_through_a_link_than_a_build_does(tmp_path: Path) -> None:
    directory = project(tmp_path / "p")
    (tmp_path / "secret.py").write_text("TOKEN = 'hunter2'\n")
    (directory / "src" / "key.py").symlink_to(tmp_path / "secret.py")

    with pytest.raises(BuildError, match=f"^src/key.py: {OUT}"):
        ProjectFiles(directory).sources()


def test_types_are_not_written_through_a_link_that_leads_out(tmp_path: Path) -> None:
    directory = project(tmp_path / "p")
    (tmp_path / "profile").write_text("precious")
    (directory / "src" / "bindings.py").symlink_to(tmp_path / "profile")

    assert OUT in run(directory, "types", fails=True)
    assert (tmp_path / "profile").read_text() == "precious"


def test_links_within_a_project_are_files_like_others_and_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    directory = project(tmp_path / "p")
    (directory / "shared.txt").write_text("ours")
    (directory / "src" / "here.txt").symlink_to("../shared.txt")
    (directory / "src" / "nowhere.txt").symlink_to("nothing")
    os.mkfifo(directory / "src" / "pipe")

    copy_project(directory, directory / "src", tmp_path / "copy")

    assert {path.relative_to(tmp_path / "copy") for path in files_of(tmp_path / "copy")} == {
        Path("app.py"),
        Path("here.txt"),
    }
    assert (tmp_path / "copy" / "here.txt").read_text() == "ours"
    assert not (tmp_path / "copy" / "here.txt").is_symlink()
