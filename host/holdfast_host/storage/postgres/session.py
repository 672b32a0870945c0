"""A connection to the store, as everything here needs one: its settings pinned, the server looked at.

What decides the outcome of a commit is set for the connection, whatever a role, a database or a file says: a timeout
would cancel one, and with `client_min_messages = error` a cancelled one looks clean. Plans are pinned to look-ups by
index: one that was made while a table was small would read all of it for ever. What cannot be set is asked for, at
every connect; a server that would lose what it has acknowledged is refused.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import conninfo

from holdfast_host.core.errors import ConfigurationError, HoldfastError
from holdfast_host.core.store_address import SHAPE, check_address
from holdfast_host.storage.postgres.deadlines import cut_after
from holdfast_host.storage.postgres.schema import FORMAT, SCHEMA, TABLE_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DURABILITIES: Final = ("replicated", "managed", "single")
_CONNECT_TIMEOUT_S: Final = 2
LOOK_S: Final = 5.0  # for pinning a session and looking at the server, once it is connected
_VERSION_MIN: Final = 15
# A server of an earlier minor that has just started may not wait for its standbys.
_MINORS: Final = {15: 13, 16: 9, 17: 5}
_PINNED: Final = {
    "synchronous_commit": "on",
    "client_min_messages": "warning",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "search_path": SCHEMA,
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "client_connection_check_interval": "0",
    "idle_in_transaction_session_timeout": "5s",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "bytea_output": "hex",
}
_PINNED_FROM_17: Final = {"transaction_timeout": "0"}
_NO_RIGHT: Final = "42501"
_TCP: Final = "tcp_keepalives"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where the store is, and what it is to promise."""

    dsn: str
    durability: str = "replicated"

    def __repr__(self) -> str:
        return f"<StoreAddress {shown(self.dsn)}>"


class StoreUnreachableError(HoldfastError):
    """The server does not answer, or not now: try again."""

    status = 503
    retryable = True


def shown(dsn: str) -> str:
    """Where it leads, without who and the password."""
    try:
        facts = conninfo.conninfo_to_dict(dsn)
    except (psycopg.ProgrammingError, UnicodeError):
        return "the store"
    return f"{facts.get('host', 'localhost')}:{facts.get('port', 5432)}/{facts.get('dbname', '')}"


def connect(
    address: StoreAddress, name: str, warned: Callable[[str], None] | None = None, *, checked: bool = True
) -> psycopg.Connection[Any]:
    """A connection in autocommit, pinned and looked at; `name` is how the server shows it.

    Args:
        address: where to.
        name: the application's.
        warned: told of each WARNING of the server.
        checked: whether the tables must be there.

    Raises:
        StoreUnreachableError: nobody answers there now.
        ConfigurationError: the server, or what it holds, is not to be used; says which setting and what to do.
    """
    check_address(address.dsn)
    try:
        connection = psycopg.connect(
            address.dsn,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            keepalives=1,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            application_name=name,
            prepare_threshold=None,
            target_session_attrs="read-write",  # of several hosts, the one that takes writes
        )
    except (psycopg.ProgrammingError, UnicodeError):  # it quotes what it cannot read, which may be the password
        raise ConfigurationError(f"--store is no address of PostgreSQL: {SHAPE}") from None
    except psycopg.OperationalError as error:
        raise StoreUnreachableError(f"the store at {shown(address.dsn)} cannot be reached: {_said(error)}") from error
    try:
        if warned is not None:
            tell = warned
            connection.add_notice_handler(
                lambda notice: tell(notice.message_primary or "") if notice.severity_nonlocalized == "WARNING" else None
            )
        with translated(address), cut_after(connection, LOOK_S):
            _pin(connection)
            _check_server(connection, address)
            if checked:
                check_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def translated(address: StoreAddress) -> Iterator[None]:
    """Say what the server says to the block's statements as what is wrong with the store, and where that is.

    Raises:
        StoreUnreachableError: the server is gone, or cannot do it now.
        ConfigurationError: it does not do that, or not for this user.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        raise StoreUnreachableError(f"the store at {shown(address.dsn)} broke off: {_said(error)}") from error
    except psycopg.Error as error:
        further = "; the user must own the schema holdfast, or may create it" if error.sqlstate == _NO_RIGHT else ""
        raise ConfigurationError(f"the store at {shown(address.dsn)} refuses it: {_said(error)}{further}") from error


def _said(error: psycopg.Error) -> str:
    """What is wrong, in one line and without the statement."""
    return error.diag.message_primary or " ".join(str(error).replace("\\n", " ").split())


def _pin(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version // 10_000
    if version < _VERSION_MIN:
        raise ConfigurationError(f"PostgreSQL {version}: the store needs {_VERSION_MIN} or later")
    wanted = _PINNED | (_PINNED_FROM_17 if version >= 17 else {})
    asked = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
    connection.execute(f"SELECT {asked}", [each for pair in wanted.items() for each in pair])
    row = connection.execute(f"SELECT {', '.join(['current_setting(%s)'] * len(wanted))}", [*wanted]).fetchone() or ()
    for (name, value), held in zip(wanted.items(), row, strict=True):
        if held != value and not name.startswith(_TCP):  # over a Unix socket there is nothing to keep alive
            raise ConfigurationError(f"the store holds {name} at {held!r}; it must be {value!r} for its connections")


def _check_server(connection: psycopg.Connection[Any], address: StoreAddress) -> None:
    row = connection.execute(
        "SELECT pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'),"
        " current_setting('synchronous_standby_names'), pg_backend_pid(), current_setting('server_version_num')::int"
    ).fetchone()
    in_recovery, fsync, full_page_writes, names, pid, version = row or (True, "", "", "", 0, 0)
    major, minor = divmod(version, 10_000)
    if minor < _MINORS.get(major, 0):
        raise ConfigurationError(
            f"PostgreSQL {major}.{minor} may answer before its standbys have what it says: update it to "
            f"{major}.{_MINORS[major]} or later"
        )
    if in_recovery:
        raise StoreUnreachableError("the store is a standby now: it takes no writes")
    for name, held in (("fsync", fsync), ("full_page_writes", full_page_writes)):
        if held != "on":
            raise ConfigurationError(f"the store has {name} = {held}: what it acknowledges could be lost; set it to on")
    if pid != connection.info.backend_pid and address.durability != "managed":
        raise ConfigurationError("the store is behind a pooler: give --store the address of PostgreSQL itself")
    if address.durability == "replicated" and not names:
        raise ConfigurationError(
            "the store has no synchronous standby (synchronous_standby_names is empty): set one up, or say "
            "--durability managed where the provider replicates, single for one machine"
        )


def check_tables(connection: psycopg.Connection[Any]) -> None:
    """What the tables must be.

    Raises:
        ConfigurationError: they are not there, of another format, or not as this release made them.
    """
    (there,) = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.cluster",)).fetchone() or (None,)
    if there is None:
        raise ConfigurationError("the store has no tables: make them with `holdfast store init`")
    (found,) = connection.execute("SELECT format FROM cluster").fetchone() or (None,)
    if found != FORMAT:
        way = "bring it up with `holdfast store upgrade`" if found and found < FORMAT else "take the one that it is of"
        raise ConfigurationError(f"the store has format {found}, this release reads {FORMAT}: {way}")
    for name, kept, secured, triggers, rules in connection.execute(
        "SELECT relname, relpersistence = 'p', relrowsecurity, EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid ="
        " c.oid), relhasrules FROM pg_class AS c WHERE relnamespace = %s::regnamespace AND relname = ANY(%s)",
        (SCHEMA, list(TABLE_NAMES)),
    ):
        wrong = [what for what, is_so in (
            ("unlogged or temporary", not kept), ("under row security", secured), ("behind a trigger", triggers),
            ("behind a rule", rules),
        ) if is_so]  # fmt: skip
        if wrong:
            raise ConfigurationError(f"the store's table {name} is {' and '.join(wrong)}: what it takes may be lost")
