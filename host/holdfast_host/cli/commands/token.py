"""`holdfast token`: tokens of a host, each with what it may."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.operator_answers import NewToken, ShownToken, Tokens
from holdfast_host.cli.output import json_option, print_json, print_table, say, tell
from holdfast_host.core.tokens import Scope, id_of

_EXAMPLES: Final = """\b
Examples:
  holdfast token create --scope deploy --name ci --expires 90d
  holdfast token list
  holdfast token rotate k3fq7wz2ab
  holdfast token revoke k3fq7wz2ab
"""
_CREATE_EXAMPLES: Final = """\b
Examples:
  holdfast token create --scope deploy --name ci --expires 90d
  holdfast token create --scope call --type Account --type Cart --name shop
  holdfast token create --scope admin --tenant acme
"""
_LIST_EXAMPLES: Final = """\b
Example:
  holdfast token list
"""
_ROTATE_EXAMPLES: Final = """\b
Example:
  holdfast token rotate k3fq7wz2ab
"""
_REVOKE_EXAMPLES: Final = """\b
Example:
  holdfast token revoke k3fq7wz2ab
"""
_SPAN: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _read_span(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """A span of time, in seconds."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no span of time: write 12h, 90d, or 30m")
    return int(found[1]) * _UNIT_S[found[2]]


@click.group("token", epilog=_EXAMPLES)
def command() -> None:
    """Make, list, rotate and revoke tokens. A host has tokens once it is started with one of its own, HOLDFAST_TOKEN.

    admin may do everything; deploy changes functions and sees what that needs; call calls instances, of all types or of
    those named; read looks at everything and changes nothing.
    """


@command.command("create", epilog=_CREATE_EXAMPLES)
@click.option("--scope", type=click.Choice([each.value for each in Scope]), required=True, help="What it may do.")
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Of scope call: a type that it may call.")
@click.option("--expires", metavar="SPAN", callback=_read_span, help="For how long: 12h, 90d.  [default: ever]")
@click.option("--name", default="", metavar="LABEL", help="What people call it.")
@host_options
@json_option
def create_token(
    scope: str,
    types: tuple[str, ...],
    expires: int | None,
    name: str,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Make a token. It is printed now and never again: the host keeps its hash alone.

    With --tenant it is that tenant's, and sees and changes nothing else; without it, the host's.
    """
    wish: dict[str, Any] = {"scope": scope, "name": name, "types": list(types)}
    if expires is not None:
        wish["expires_s"] = expires
    with open_client(host, token_file) as client:
        _show_new(client.post("/v1/tokens", wish, NewToken), as_json)


@command.command("list", epilog=_LIST_EXAMPLES)
@host_options
@json_option
def list_tokens(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the tokens, what each may, until when, and when it was last used, to the minute."""
    with open_client(host, token_file) as client:
        answer = client.get("/v1/tokens", Tokens)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["id"],
            each["name"],
            each["scope"],
            ", ".join(each["types"]) or ("all" if each["scope"] == Scope.CALL else ""),
            ("expired " if each["expired"] else "") + (each["expires_at"] or "never"),
            each["last_used_at"] or "never",
            each.get("tenant") or "",
        )
        for each in answer["tokens"]
    ]
    print_table(("id", "name", "scope", "types", "expires", "last used", "tenant"), rows)


@command.command("rotate", epilog=_ROTATE_EXAMPLES)
@click.argument("id_", metavar="ID")
@host_options
@json_option
def rotate_token(id_: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Give the token ID another text, and its whole lifetime again; what it was is over at once."""
    with open_client(host, token_file) as client:
        _show_new(client.post(api_path("tokens", _only_id(id_), "rotate"), {}, NewToken), as_json)


@command.command("revoke", epilog=_REVOKE_EXAMPLES)
@click.argument("id_", metavar="ID")
@host_options
@json_option
def revoke_token(id_: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """End the token ID, within a second; sockets and streams that were opened with it are closed."""
    with open_client(host, token_file) as client:
        answer = client.delete(api_path("tokens", _only_id(id_)), ShownToken)
    tell(answer, f"The token {_only_id(id_)} is revoked.", as_json)


def _only_id(given: str) -> str:
    """The id alone where a whole token was given: a URL, which logs keep, is no place for one."""
    return id_of(given) or given


def _show_new(answer: NewToken, as_json: bool) -> None:
    """The token alone on standard output, for pipes; what it is on the other."""
    if as_json:
        print_json(answer)
        return
    until = f"until {answer['expires_at']}" if answer["expires_at"] else "until it is revoked"
    say(f"The token {answer['id']}, scope {answer['scope']}, {until}. It is shown this once:", err=True)
    say(answer["token"])
