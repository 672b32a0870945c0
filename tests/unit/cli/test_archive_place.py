"""Where the command line takes an archive's address, and where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.test_commands import fails_in_one_sentence, run

SECRET = "s3://key:secret@backups/holdfast"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("serve", "--data", SECRET), "--data"),
        (("serve", "--config", "host.toml"), "--data"),
        (("backup", SECRET), "FILE"),
        (("restore", SECRET, "restored"), "FILE"),
        (("restore", "holdfast.tar", SECRET), "DIR"),
        (("restore", "--from", "s3://backups/holdfast", SECRET), "DIR"),
    ],
    ids=["serve", "file", "backup", "restore", "into", "from"],
)
def test_what_lies_on_this_machine_is_not_made_in_a_folder_that_is_called_s3(
    words: tuple[str, ...], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("host.toml").write_text(f'data = "{SECRET}"\n')
    said = fails_in_one_sentence(run(*words))

    assert f"{what} is a place of this machine, not of a bucket: only an archive may lie in one" in said.replace(
        "host.toml: data", "--data"
    )
    assert "secret" not in said
    assert [each.name for each in Path().iterdir()] == ["host.toml"]
