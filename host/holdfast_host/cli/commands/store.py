"""`holdfast store`: the tables of a store on PostgreSQL, what is in it, and whether the server is one to rely on."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from holdfast_host.cli.output import say
from holdfast_host.cli.store_address import refuse_password
from holdfast_host.cli.variables import option
from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.store_settings import DURABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

_EXAMPLES: Final = """\b
Examples:
  holdfast store init --store postgresql://holdfast@db/holdfast
  holdfast store check --store postgresql://holdfast@db/holdfast
"""
_INIT_EXAMPLES: Final = """\b
Example:
  holdfast store init --store postgresql://holdfast@db/holdfast
"""
_CHECK_EXAMPLES: Final = """\b
Examples:
  holdfast store check --store postgresql://holdfast@db/holdfast
  HOLDFAST_STORE=postgresql://holdfast:...@db/holdfast holdfast store check --durability managed
"""

_UPGRADE_EXAMPLES: Final = """\b
Example:
  holdfast store upgrade --store postgresql://holdfast@db/holdfast
"""

_COPY_EXAMPLES: Final = """\b
Example:
  holdfast store copy --from holdfast-data --store postgresql://holdfast@db/holdfast
"""

_store = option("--store", required=True, metavar="ADDRESS", help="postgresql://USER@HOST/DATABASE, as for serve.")
_durability = option(
    "--durability",
    default=DURABILITIES[0],
    show_default=True,
    type=click.Choice(DURABILITIES),
    help="What the server is to promise, as for serve.",
)


@click.group("store", epilog=_EXAMPLES)
def command() -> None:
    """Make and check the store of hosts whose instances' storage is on PostgreSQL."""


@command.command("init", epilog=_INIT_EXAMPLES)
@_store
@_durability
@click.pass_context
def init(context: click.Context, store: str, durability: str) -> None:
    """Make the tables, once, in a schema `holdfast` of the database; the user needs the right to create it."""
    with _connected(context, store, durability, checked=False) as connection:
        from holdfast_host.storage.postgres.owning import make_tables

        made = make_tables(connection)
    say("made the tables" if made else "the tables are there: nothing to do")


@command.command("check", epilog=_CHECK_EXAMPLES)
@_store
@_durability
@click.pass_context
def check(context: click.Context, store: str, durability: str) -> None:
    """Look at the server as a host does at each start, and read all components; say what is wrong, and end with 2."""
    with _connected(context, store, durability, checked=True) as connection:
        from holdfast_host.storage.postgres.records.components import wrong_components

        version = connection.info.server_version
        row = connection.execute(
            "SELECT current_setting('synchronous_standby_names'), (SELECT count(*) FROM instance),"
            " (SELECT count(*) FROM functions WHERE current IS NOT NULL)"
        ).fetchone()
        wrong = wrong_components(connection)
    names, instances, functions = row or ("", 0, 0)
    say(f"PostgreSQL {version // 10_000}.{version % 10_000}, {functions} functions, {instances} instances")
    say(f"synchronous standbys: {names}" if names else "no synchronous standby")
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    say("good")


@command.command("upgrade", epilog=_UPGRADE_EXAMPLES)
@_store
@_durability
@click.pass_context
def upgrade(context: click.Context, store: str, durability: str) -> None:
    """Bring the tables of an earlier release to this one's format, once, while no host is connected."""
    with _connected(context, store, durability, checked=False) as connection:
        from holdfast_host.storage.postgres.owning import upgrade_tables

        found, now = upgrade_tables(connection)
    say(f"brought the store from format {found} to {now}" if found != now else f"the store has format {now} already")


@contextmanager
def _connected(
    context: click.Context, store: str, durability: str, *, checked: bool
) -> Iterator[psycopg.Connection[Any]]:
    if context.get_parameter_source("store") is ParameterSource.COMMANDLINE:
        refuse_password(store)
    try:
        from holdfast_host.storage.postgres.session import StoreAddress, connect, translated
    except ImportError as error:
        raise ConfigurationError(f"this needs psycopg ({error}): pip install 'holdfast[cluster]'") from error
    address = StoreAddress(store, durability)
    with translated(address), connect(address, "holdfast-store", checked=checked) as connection:
        yield connection


@command.command("copy", epilog=_COPY_EXAMPLES)
@click.option(
    "--from",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The data directory, on which no host runs.",
)
@_store
@_durability
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="As for serve: instance_memory_bytes.")
@click.pass_context
def copy(context: click.Context, directory: Path, store: str, durability: str, limits: tuple[str, ...]) -> None:
    """Move all of a data directory into an empty store: instances, functions, secrets, tokens, the audit log.

    All is read back and compared. Then nothing starts on the directory any more; it stays as it is, but for its marker.
    A copy that broke off goes on with the same command.
    """
    bytes_max = HostConfig.make(limits=limits).limits.instance_memory_bytes
    with _connected(context, store, durability, checked=True):
        from holdfast_host.storage.postgres.session import StoreAddress
        from holdfast_host.supervisor.moving import move_directory

        moved = move_directory(directory, StoreAddress(store, durability), bytes_max, tell_step)
    say(f"moved {moved.instances} instances and {moved.functions} functions")
    say(f"serve it with --store, an empty --data, and --cluster-key-file {moved.key} (or a copy of that file)")


def tell_step(step: str) -> None:
    """What is being done now."""
    say(f"{step} ...", err=True)
