"""What tests of all commands give these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast_host.build import project
from holdfast_host.build.errors import BuildError
from holdfast_host.cli.commands import build
from tests.harness.terminals import EVIL


@pytest.fixture
def put_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], list[str]]:
    """A project whose build says what others wrote, and a component, in the places of their names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wasm").write_bytes(b"\0asm")
    (tmp_path / "holdfast.toml").write_text(
        'name = "p"\nmain = "app.py"\ncompatibility_date = "2026-11-01"\n'
        '[[actors]]\nbinding = "OTHER"\ntype = "Other"\n'
    )
    (tmp_path / "app.py").touch()

    def fails(directory: Path, on_stage: Callable[[str], None], *, quickly: bool) -> None:
        on_stage(EVIL)
        raise BuildError(EVIL, EVIL)

    monkeypatch.setattr(build, "build_project", fails)
    monkeypatch.setattr(project, "describe_project", lambda directory: {"actors": []})
    places = {"{project}": str(tmp_path), "{component}": str(tmp_path / "a.wasm")}
    return lambda words: [places.get(word, word) for word in words]
