"""`holdfast store`, and the settings that lead a host to PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.postgres import server
from tests.unit.cli.test_commands import run

WITH_PASSWORD = "postgresql://holdfast:hush@127.0.0.1:1/holdfast"


def test_tables_are_made_once_and_the_server_is_looked_at() -> None:
    words = ("--store", server().new_database(), "--durability", "single")
    missing = run("store", "check", *words)
    made, again, good = run("store", "init", *words), run("store", "init", *words), run("store", "check", *words)

    assert (missing.exit_code, made.exit_code, again.exit_code, good.exit_code) == (2, 0, 0, 0)
    assert "make them with `holdfast store init`" in missing.stderr
    assert (made.stdout, again.stdout) == ("made the tables\n", "the tables are there: nothing to do\n")
    assert good.stdout.endswith("0 instances\nno synchronous standby\ngood\n")


def test_a_server_that_would_lose_what_it_acknowledges_is_named_with_what_to_do() -> None:
    done = run("store", "init", "--store", server().new_database())

    assert done.exit_code == 2
    assert "synchronous_standby_names is empty" in done.stderr
    assert "--durability managed" in done.stderr


@pytest.mark.parametrize("command", [("serve",), ("store", "init"), ("store", "check")], ids=" ".join)
def test_a_password_on_the_command_line_is_refused_and_never_repeated(command: tuple[str, ...]) -> None:
    refused = run(*command, "--store", WITH_PASSWORD)

    assert refused.exit_code == 2
    assert "set HOLDFAST_STORE" in refused.stderr
    assert "hush" not in refused.output


def test_a_password_in_the_variable_is_taken_and_never_shown(tmp_path: Path) -> None:
    asked = run("store", "check", HOLDFAST_STORE=WITH_PASSWORD)
    served = run("serve", "--data", str(tmp_path / "data"), HOLDFAST_STORE=WITH_PASSWORD)

    for done in (asked, served):
        assert done.exit_code != 0
        assert "127.0.0.1:1/holdfast cannot be reached" in done.stderr
        assert "hush" not in done.output


def test_the_settings_that_hold_are_printed_without_a_password() -> None:
    with_it = run("serve", "--print-config", HOLDFAST_STORE=WITH_PASSWORD)
    without = run("serve", "--print-config", HOLDFAST_STORE="postgresql://holdfast@db/holdfast")

    assert "store =" not in with_it.stdout
    assert 'store = "postgresql://holdfast@db/holdfast"' in without.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--store", "mysql://db/x"), "--store is no address of PostgreSQL"),
        (("--durability", "none"), "--durability"),
        (("--store", "postgresql://db/x", "--archive", "a"), "--archive is of storage in files"),
        (("--host-ttl", "1"), "--host-ttl is 1, it must be between 2 and 60 seconds"),
    ],
    ids=["store", "durability", "archive", "time to live"],
)
def test_a_setting_that_is_none_is_refused(words: tuple[str, ...], said: str) -> None:
    refused = run("serve", *words)

    assert refused.exit_code == 2
    assert said in refused.stderr
