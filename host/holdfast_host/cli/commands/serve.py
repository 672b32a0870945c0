"""`holdfast serve`: run the host in the foreground."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from holdfast_host.cli.archive_place import ARCHIVE_PLACE
from holdfast_host.cli.output import say
from holdfast_host.cli.settings_file import CommandWithSettings, anew, checked, read_settings, settings_text
from holdfast_host.cli.store_address import refuse_password
from holdfast_host.cli.variables import name_unknown, option
from holdfast_host.core.config import OUTBOUND_DEFAULT, HostConfig
from holdfast_host.core.log_levels import FORMATS, LEVELS
from holdfast_host.core.logs import EventLog
from holdfast_host.core.store_address import has_password
from holdfast_host.core.store_settings import DURABILITIES, HOST_TTL_S
from holdfast_host.core.traces import name_untraced
from holdfast_host.sandbox.components.compile_client import compile_component
from holdfast_host.supervisor.host import serve

_EXAMPLES = """\b
Examples:
  holdfast serve
  HOLDFAST_TOKEN=... holdfast serve --listen 0.0.0.0:8787 --data /var/lib/holdfast
  holdfast serve --limit method_timeout_s=60 --limit idle_eviction_s=5
  HOLDFAST_LIMIT="method_timeout_s=60 idle_eviction_s=5" holdfast serve
  holdfast serve --config /etc/holdfast/host.toml
"""


@click.command("serve", cls=CommandWithSettings, epilog=_EXAMPLES)
@option(
    "--listen",
    default="127.0.0.1:8787",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one. Other than loopback needs a token.",
)
@option(
    "--data",
    default=".holdfast",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The data directory; everything is kept there.",
)
@option(
    "--workers",
    type=int,
    metavar="N",
    help="Processes that run actors.  [default: one less than the cores]",
)
@option(
    "--fronts",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that speak HTTP; they share the port.",
)
@option(
    "--domain",
    default="localhost",
    show_default=True,
    help="Functions answer under FUNCTION.DOMAIN.",
)
@option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A further name that requests may be for, as behind a proxy; may be repeated (in the variable: words).",
)
@option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="CIDR",
    help="Where your proxy is: what its Forwarded or X-Forwarded-For, -Proto and -Host say counts. May be repeated (in "
    "the variable: words).",
)
@option(
    "--outbound",
    "outbound",
    multiple=True,
    default=OUTBOUND_DEFAULT,
    metavar="PATTERN",
    help="What functions may ask outside, where their holdfast.toml lists it too: https://*.example.com, or none. "
    "May be repeated (in the variable: words).  [default: https://*]",
)
@option(
    "--outbound-private",
    "outbound_private",
    multiple=True,
    metavar="ADDRESS",
    help="An address, or HOST:PORT, that outbound requests may lead to though it is private. May be repeated (in the "
    "variable: words).",
)
@option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with the token that callers must present; else HOLDFAST_TOKEN.",
)
@option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Pages of this origin may use the API, as https://app.example.com; or * for all. May be repeated (in the "
    "variable: words).  [default: none]",
)
@option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve HTTPS with this certificate, followed by those between it and its authority (PEM). A new one in the "
    "file is taken within seconds.",
)
@option(
    "--tls-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key of --tls-cert (PEM).  [default: it is in the same file]",
)
@option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a limit, by its name in docs/limits.md; may be repeated (in the variable: words).",
)
@option(
    "--check-arguments",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Whether arguments are checked and converted by annotations, in functions whose holdfast.toml does not say.",
)
@option(
    "--known-heads",
    default="on",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Whether calls with heads that have passed all checks once are served without being parsed again.",
)
@option("--no-ui", is_flag=True, help="Serve no inspector at /ui.")
@option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(list(LEVELS)),
    help="What goes to stderr.",
)
@option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(FORMATS),
    help="How: lines for people, or one JSON object a line, what guests print included.",
)
@option(
    "--access-log",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write a line of JSON for each request there; - is standard output. Calls are then parsed one by one.  "
    "[default: none]",
)
@option(
    "--traces",
    metavar="URL",
    help="Send a span of each turn to this collector, as OTLP over HTTP (http://127.0.0.1:4318); or off. Needs the "
    "extra holdfast[otel].  [default: what OTEL_EXPORTER_OTLP_ENDPOINT says]",
)
@option(
    "--archive",
    type=ARCHIVE_PLACE,
    metavar="DIR|s3://BUCKET/PREFIX",
    help="Ship all that is committed and deployed into this folder or bucket, a second behind at most: "
    "'holdfast restore --from' brings any moment back. A bucket needs the extra holdfast[s3].  [default: none]",
)
@option(
    "--archive-keep",
    metavar="TIME",
    help="How far back the archive must reach, as 30d or 12h; what is older goes.  [default: all of it is kept]",
)
@option(
    "--store",
    metavar="ADDRESS",
    help="Have PostgreSQL hold what instances store: postgresql://USER@HOST/DATABASE. A password belongs into "
    "HOLDFAST_STORE or a password file.  [default: the data directory holds it]",
)
@option(
    "--durability",
    default=DURABILITIES[0],
    show_default=True,
    type=click.Choice(DURABILITIES),
    help="What --store promises before anything is answered: a synchronous standby has it; the provider replicates; "
    "or it is a single machine.",
)
@option(
    "--host-ttl",
    default=HOST_TTL_S,
    show_default=True,
    type=int,
    metavar="SECONDS",
    help="A host of --store that shows no sign of life for so long is taken over.",
)
@option(
    "--cluster-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The key that all hosts of a --store have, under which its secrets are sealed; the first of them makes it.  "
    "[default: secrets/key in the data directory]",
)
@option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    is_eager=True,
    callback=lambda *given: _read_file(*given),
    help="A TOML file with any of these settings; flags and variables win over it. SIGHUP reads it anew.",
)
@click.option("--print-config", is_flag=True, help="Print what holds as such a file, and end.")
@click.pass_context
def command(context: click.Context, /, print_config: bool, **_settings: Any) -> None:
    """Run the host in the foreground, until Ctrl-C or SIGTERM."""
    settings = _checked(context)
    if print_config:
        secret = {"store": None} if has_password(settings.store) else {}
        for line in settings_text(context.command, {**context.params, **secret}).splitlines():
            say(line)
        return
    for unheard in (name_unknown(os.environ), name_untraced(context.params["traces"], os.environ)):
        if unheard is not None:
            EventLog(settings.log_level, log_format=settings.log_format).warning(unheard)
    sys.exit(serve(settings, _announce, compile_component, reread=lambda: _checked(anew(context))))


def _checked(context: click.Context) -> HostConfig:
    """What the command line, the environment and the file say together."""
    values = {name: value for name, value in context.params.items() if name not in {"config", "print_config"}}
    for name in ("check_arguments", "known_heads"):
        values[name] = values[name] == "on"
    values["ui"] = not values.pop("no_ui")
    token = os.environ.get("HOLDFAST_TOKEN")
    if context.get_parameter_source("store") is ParameterSource.COMMANDLINE:
        refuse_password(values["store"])
    make = partial(HostConfig.make, token=token, environment=os.environ, **values)
    return checked(context, context.params["config"], make)


def _read_file(context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    read_settings(context, path)
    return path


def _announce(url: str) -> None:
    """The one line on stdout; nobody may be reading it."""
    with contextlib.suppress(OSError):
        say(f"Holdfast is ready: {url}")
