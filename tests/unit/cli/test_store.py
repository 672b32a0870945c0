"""`holdfast store`, and the settings that lead a host to PostgreSQL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg
import pytest

from holdfast_host.storage.postgres.schema import FORMAT
from holdfast_host.supervisor.directory.layout import make_directory, open_directory
from holdfast_host.supervisor.registry.registry import Registry
from tests.harness.postgres import server
from tests.unit.cli.test_commands import run

FORMAT_1 = Path(__file__).parents[2] / "fixtures" / "stores" / "format-1.sql"
WITH_PASSWORD = "postgresql://holdfast:hush@127.0.0.1:1/holdfast"


def test_tables_are_made_once_and_the_server_is_looked_at() -> None:
    words = ("--store", server().new_database(), "--durability", "single")
    missing = run("store", "check", *words)
    made, again, good = run("store", "init", *words), run("store", "init", *words), run("store", "check", *words)

    assert (missing.exit_code, made.exit_code, again.exit_code, good.exit_code) == (2, 0, 0, 0)
    assert "make them with `holdfast store init`" in missing.stderr
    assert (made.stdout, again.stdout) == ("made the tables\n", "the tables are there: nothing to do\n")
    assert good.stdout.endswith("0 functions, 0 instances\nno synchronous standby\ngood\n")


def test_a_user_without_the_right_to_the_schema_is_told_which_one_it_needs() -> None:
    dsn = server().new_database()
    server().execute("DROP ROLE IF EXISTS weak")
    server().execute("CREATE ROLE weak LOGIN")
    words = ("--store", dsn.replace("holdfast@", "weak@"), "--durability", "single")
    init = run("store", "init", *words)
    run("store", "init", "--store", dsn, "--durability", "single")
    others = [run("store", name, *words) for name in ("check", "upgrade")]

    assert [each.exit_code for each in (init, *others)] == [2, 2, 2]
    for each in (init, *others):
        assert "permission denied for" in each.stderr
        assert each.stderr.endswith("the user must own the schema holdfast, or may create it\n")


def test_what_is_no_address_is_refused_in_one_line_with_the_form_of_one() -> None:
    refused = run("store", "check", "--store", "holdfast@db/holdfast")

    assert refused.exit_code == 2
    assert "--store is no address of PostgreSQL: write postgresql://USER@HOST/DATABASE" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_store_of_an_earlier_release_is_brought_up_once() -> None:
    dsn = server().new_database()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(FORMAT_1.read_text())
    words = ("--store", dsn, "--durability", "single")
    before = run("store", "check", *words)
    done, again, after = run("store", "upgrade", *words), run("store", "upgrade", *words), run("store", "check", *words)

    assert (before.exit_code, done.exit_code, again.exit_code, after.exit_code) == (2, 0, 0, 0)
    refusal = f"the store has format 1, this release reads {FORMAT}: bring it up with `holdfast store upgrade`"
    assert refusal in before.stderr
    assert (done.stdout, again.stdout) == (
        f"brought the store from format 1 to {FORMAT}\n",
        f"the store has format {FORMAT} already\n",
    )
    assert "2 instances" in after.stdout


def test_a_data_directory_is_moved_and_what_to_do_next_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_directory(data)
    layout = open_directory(data, 1)
    Registry.open(layout.registry, layout.compiled).close()
    words = ("--store", server().new_database(), "--durability", "single")
    without = run("store", "copy", "--from", str(data), *words)
    run("store", "init", *words)
    moved, again = run("store", "copy", "--from", str(data), *words), run("store", "copy", "--from", str(data), *words)
    served = run("serve", "--data", str(data))

    assert (without.exit_code, moved.exit_code, again.exit_code, served.exit_code) == (2, 0, 2, 2)
    assert "make them with `holdfast store init`" in without.stderr
    assert moved.stderr == "copying ...\ncomparing ...\n"
    assert moved.stdout.startswith(
        "moved 0 instances and 0 functions\nserve it with --store, an empty --data, and --cluster"
    )
    assert f"{data} has been moved to the store" in again.stderr
    assert "start with --store and an empty data directory" in served.stderr


def test_a_component_that_is_not_whole_in_the_store_is_named() -> None:
    dsn = server().new_database()
    words = ("--store", dsn, "--durability", "single")
    run("store", "init", *words)
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=holdfast") as connection:
        connection.execute("INSERT INTO functions VALUES ('fn', 'default', 'shop', 2, 2, NULL, 1)")
        for number, content in enumerate((b"one", b"two", b"three"), 1):
            sha256 = hashlib.sha256(content).hexdigest()
            connection.execute("INSERT INTO versions VALUES ('fn', %s, %s, NULL, '{}', '{}', 1)", (number, sha256))
            connection.execute("INSERT INTO component VALUES (%s, 0, %s, now())", (sha256, content))
        connection.execute("UPDATE component SET bytes = 'other' WHERE bytes = 'two'")
        connection.execute("DELETE FROM component WHERE bytes = 'three'")
    checked = run("store", "check", *words)

    assert checked.exit_code == 2
    assert "version 2 of 'shop' is damaged: deploy it again" in checked.stderr
    assert "version 3 of 'shop' is gone: deploy it again" in checked.stderr
    assert "version 1" not in checked.stderr


def test_a_server_that_would_lose_what_it_acknowledges_is_named_with_what_to_do() -> None:
    done = run("store", "init", "--store", server().new_database())

    assert done.exit_code == 2
    assert "synchronous_standby_names is empty" in done.stderr
    assert "--durability managed" in done.stderr


@pytest.mark.parametrize(
    "command",
    [("serve",), ("store", "init"), ("store", "check"), ("store", "upgrade"), ("store", "copy", "--from", ".")],
    ids=" ".join,
)
def test_a_password_on_the_command_line_is_refused_and_never_repeated(command: tuple[str, ...]) -> None:
    refused = run(*command, "--store", WITH_PASSWORD)

    assert refused.exit_code == 2
    assert "set HOLDFAST_STORE" in refused.stderr
    assert "hush" not in refused.output


@pytest.mark.parametrize("password", ["hush%hush", "hush hush", "a@hush", "hush/hush"])
def test_a_password_that_is_written_wrong_is_never_shown(password: str) -> None:
    address = f"postgresql://holdfast:{password}@127.0.0.1:1/holdfast"
    for words in (("store", "check"), ("store", "init"), ("serve",)):
        refused = run(*words, HOLDFAST_STORE=address)

        assert refused.exit_code == 2
        assert "in a password %25 for %, %40 for @" in refused.stderr
        assert "hush" not in refused.output


def test_a_password_in_the_variable_is_taken_and_never_shown(tmp_path: Path) -> None:
    asked = run("store", "check", HOLDFAST_STORE=WITH_PASSWORD)
    served = run("serve", "--data", str(tmp_path / "data"), HOLDFAST_STORE=WITH_PASSWORD)

    for done in (asked, served):
        assert done.exit_code != 0
        assert "127.0.0.1:1/holdfast cannot be reached" in done.stderr
        assert "hush" not in done.output


@pytest.mark.parametrize("password", ["hush", "hu#sh", "hu?sh"])
def test_the_settings_that_hold_are_printed_without_a_password(password: str) -> None:
    with_it = run("serve", "--print-config", HOLDFAST_STORE=f"postgresql://holdfast:{password}@db/holdfast")
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
        (("--cluster-key-file", "a"), "--cluster-key-file is of hosts that share a store: give --store too"),
    ],
    ids=["store", "durability", "archive", "time to live", "key"],
)
def test_a_setting_that_is_none_is_refused(words: tuple[str, ...], said: str) -> None:
    refused = run("serve", *words)

    assert refused.exit_code == 2
    assert said in refused.stderr
