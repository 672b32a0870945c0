"""`holdfast serve`: run the host in the foreground."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click

from holdfast_host.cli.output import say
from holdfast_host.core.config import HostConfig
from holdfast_host.sandbox.compile import compile_component
from holdfast_host.supervisor.host import serve

_EXAMPLES = """\b
Examples:
  holdfast serve
  HOLDFAST_TOKEN=... holdfast serve --listen 0.0.0.0:8787 --data /var/lib/holdfast
  holdfast serve --limit method_timeout_s=60 --limit idle_eviction_s=5
"""


@click.command("serve", epilog=_EXAMPLES)
@click.option(
    "--listen",
    envvar="HOLDFAST_LISTEN",
    default="127.0.0.1:8787",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one. Other than loopback needs a token.",
)
@click.option(
    "--data",
    envvar="HOLDFAST_DATA",
    default=".holdfast",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The data directory; everything is kept there.",
)
@click.option(
    "--workers",
    envvar="HOLDFAST_WORKERS",
    type=int,
    metavar="N",
    help="Processes that run actors.  [default: one less than the cores]",
)
@click.option(
    "--fronts",
    envvar="HOLDFAST_FRONTS",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that speak HTTP; they share the port.",
)
@click.option(
    "--domain",
    envvar="HOLDFAST_DOMAIN",
    default="localhost",
    show_default=True,
    help="Functions answer under FUNCTION.DOMAIN.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    envvar="HOLDFAST_ALLOWED_HOSTS",
    multiple=True,
    metavar="NAME",
    help="A further name that requests may be for, as behind a proxy; may be repeated.",
)
@click.option(
    "--token-file",
    envvar="HOLDFAST_TOKEN_FILE",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with the token that callers must present; else HOLDFAST_TOKEN.",
)
@click.option(
    "--limit",
    "limits",
    envvar="HOLDFAST_LIMITS",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a limit, by its name in holdfast_host/core/limits.py; may be repeated.",
)
@click.option(
    "--log-level",
    envvar="HOLDFAST_LOG_LEVEL",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What goes to stderr.",
)
def command(
    listen: str,
    data: Path,
    workers: int | None,
    fronts: int,
    domain: str,
    allowed_hosts: tuple[str, ...],
    token_file: Path | None,
    limits: tuple[str, ...],
    log_level: str,
) -> None:
    """Run the host in the foreground, until Ctrl-C or SIGTERM."""
    config = HostConfig.make(
        listen=listen,
        data=data,
        workers=workers,
        fronts=fronts,
        domain=domain,
        token=os.environ.get("HOLDFAST_TOKEN"),
        token_file=token_file,
        limits=limits,
        log_level=log_level,
        allowed_hosts=allowed_hosts,
    )
    sys.exit(serve(config, _announce, compile_component))


def _announce(url: str) -> None:
    """The one line on stdout; nobody may be reading it."""
    with contextlib.suppress(OSError):
        say(f"Holdfast is ready: {url}")
