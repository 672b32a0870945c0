"""What a command's options say of the host that it is for: its address, token, authority and tenant.

`open_client` makes of them the client. What does not live here: the client itself, which knows no command.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from holdfast_host.cli.addresses import DEFAULT_HOST, checked_url
from holdfast_host.cli.client import HostClient
from holdfast_host.cli.tokens import token_for
from holdfast_host.cli.variables import option

_AUTHORITIES: Final = "holdfast.authorities"
_TENANT: Final = "holdfast.tenant"
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def host_options(decorated: _Decorated) -> _Decorated:
    """Add `--host` and `--token-file` to a command, as the parameters `host` and `token_file`; `--ca`, `--tenant`."""
    return _options(decorated, of_tenant=True)


def whole_host_options(decorated: _Decorated) -> _Decorated:
    """The same for a command that is about no tenant."""
    return _options(decorated, of_tenant=False)


def _options(decorated: _Decorated, *, of_tenant: bool) -> _Decorated:
    token_file = option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="A file that holds a token of the host; else HOLDFAST_TOKEN, else what 'holdfast auth' keeps.",
    )
    host = option(
        "--host",
        default=DEFAULT_HOST,
        show_default=True,
        metavar="URL",
        help="The host to use.",
    )
    authorities = option(
        "--ca",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        expose_value=False,
        callback=_keep_authorities,
        help="The authority that signed the certificate of an https:// host (PEM); without it SSL_CERT_FILE counts, or "
        "the usual ones.",
    )
    tenant = option(
        "--tenant",
        metavar="NAME",
        expose_value=False,
        callback=_keep_tenant,
        help="With an administrator's token of the host: the tenant to act for.  [default: default]",
    )
    return host(token_file(authorities(tenant(decorated) if of_tenant else decorated)))


def _keep_authorities(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    """For `open_client`: it is of no interest to the command itself."""
    context.meta[_AUTHORITIES] = path


def _keep_tenant(context: click.Context, _option: click.Parameter, tenant: str | None) -> None:
    """For `open_client` too."""
    context.meta[_TENANT] = tenant


def instance_arguments(decorated: _Decorated) -> _Decorated:
    """Add TYPE and NAME to a command, as the parameters `actor_type` and `name`."""
    return click.argument("actor_type", metavar="TYPE")(click.argument("name")(decorated))


def open_client(host: str, token_file: Path | None, *, token: str | None = None) -> HostClient:
    """The client for a command's `--host` and `--token-file`, or for this token."""
    context = click.get_current_context(silent=True)
    kept = {} if context is None else context.meta
    shown = token or token_for(checked_url(host), token_file)[0]
    return HostClient(host, shown, authorities=kept.get(_AUTHORITIES), tenant=kept.get(_TENANT))
