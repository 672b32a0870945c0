"""`holdfast tenant`: name spaces of one host that see nothing of each other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import open_client, whole_host_options
from holdfast_host.cli.operator_answers import ShownTenant, StoredOfTenant, Tenants
from holdfast_host.cli.output import json_option, print_json, print_table, tell

_EXAMPLES: Final = """\b
Examples:
  holdfast tenant create acme
  holdfast token create --tenant acme --scope admin --name "for Acme"
  holdfast tenant limit acme --instances 100000 --calls 500
  holdfast tenant list
  holdfast tenant delete acme
"""
_CREATE_EXAMPLES: Final = """\b
Example:
  holdfast tenant create acme
"""
_LIST_EXAMPLES: Final = """\b
Example:
  holdfast tenant list
"""
_LIMIT_EXAMPLES: Final = """\b
Example:
  holdfast tenant limit acme --instances 100000 --bytes 10000000000 --calls 500
"""
_DELETE_EXAMPLES: Final = """\b
Example:
  holdfast tenant delete acme
"""


@click.group("tenant", epilog=_EXAMPLES)
def command() -> None:
    """Make, limit, list and delete tenants. Each has functions, instances, secrets, tokens and logs of its own.

    What is not made for a tenant is of the tenant default. An administrator's token of the host acts for another one
    with --tenant; a token of a tenant acts for that one alone.
    """


@command.command("create", epilog=_CREATE_EXAMPLES)
@click.argument("name")
@whole_host_options
@json_option
def create_tenant(name: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Make the tenant NAME; one that is there stays as it is."""
    with open_client(host, token_file) as client:
        answer = client.put(api_path("tenants", name), {}, ShownTenant)
    tell(answer, f"The tenant {name} is there. A token of it: holdfast token create --tenant {name}", as_json)


@command.command("limit", epilog=_LIMIT_EXAMPLES)
@click.argument("name")
@click.option("--instances", type=click.IntRange(0), metavar="N", help="Stored instances.")
@click.option("--bytes", "bytes_", type=click.IntRange(0), metavar="N", help="Bytes of keys and values.")
@click.option("--calls", type=click.IntRange(0), metavar="N", help="Calls under way in one worker.")
@click.option("--deploys", type=click.IntRange(0), metavar="N", help="Deploys in an hour.")
@click.option("--outbound", type=click.IntRange(0), metavar="N", help="Outbound requests under way.")
@whole_host_options
@json_option
def limit_tenant(
    name: str,
    instances: int | None,
    bytes_: int | None,
    calls: int | None,
    deploys: int | None,
    outbound: int | None,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Set what the tenant NAME may have and do at most; what is left out has no limit from then on."""
    given = {"instances": instances, "bytes": bytes_, "calls": calls, "deploys": deploys, "outbound": outbound}
    limits = {key: most for key, most in given.items() if most is not None}
    with open_client(host, token_file) as client:
        client.get(api_path("tenants", name), ShownTenant)  # one that is not there is not made by the way
        answer = client.put(api_path("tenants", name), {"limits": limits}, ShownTenant)
    tell(answer, f"The tenant {name}: {_shown_limits(answer['limits'])}.", as_json)


@command.command("list", epilog=_LIST_EXAMPLES)
@whole_host_options
@json_option
def list_tenants(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the tenants with their limits, and how much those have stored that are limited in it."""
    with open_client(host, token_file) as client:
        answer = client.get("/v1/tenants", Tenants)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["name"],
            each["created_at"] or "always there",
            _shown_limits(each["limits"]),
            _shown_stored(each["stored"]),
        )
        for each in answer["tenants"]
    ]
    print_table(("name", "made", "limits", "stored"), rows)


@command.command("delete", epilog=_DELETE_EXAMPLES)
@click.argument("name")
@whole_host_options
@json_option
def delete_tenant(name: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Delete the tenant NAME with its tokens and secrets; refused while it has functions or instances."""
    with open_client(host, token_file) as client:
        answer = client.delete(api_path("tenants", name), ShownTenant)
    tell(answer, f"The tenant {name} is deleted, with its tokens and secrets.", as_json)


def _shown_limits(limits: dict[str, int]) -> str:
    return ", ".join(f"{name} {most}" for name, most in limits.items()) or "no limits"


def _shown_stored(stored: StoredOfTenant | None) -> str:
    return "" if stored is None else f"{stored['instances']} instances, {stored['bytes']} bytes"
