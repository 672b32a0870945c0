"""`holdfast secret`: what `env` has that no file of a project may hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.operator_answers import Secrets, ShownSecret
from holdfast_host.cli.output import CommandFailedError, ask_hidden, json_option, print_json, print_table, say, tell

_EXAMPLES: Final = """\b
Examples:
  holdfast secret set API_KEY
  holdfast secret set API_KEY < api-key.txt
  holdfast secret list
  holdfast secret delete API_KEY
"""
_SET_EXAMPLES: Final = """\b
Examples:
  holdfast secret set API_KEY
  pass show api-key | holdfast secret set API_KEY
  holdfast secret set STRIPE_KEY --sealed --for https://api.stripe.com
"""
_LIST_EXAMPLES: Final = """\b
Example:
  holdfast secret list
"""
_DELETE_EXAMPLES: Final = """\b
Example:
  holdfast secret delete API_KEY
"""


@click.group("secret", epilog=_EXAMPLES)
def command() -> None:
    """Set, list and delete secrets: texts on `env` of the functions that name them, encrypted on the host's disk.

    holdfast.toml says which ones a function sees: [secrets] names = ["API_KEY"]. No command shows a value.
    """


@command.command("set", epilog=_SET_EXAMPLES)
@click.argument("name")
@click.option("--sealed", is_flag=True, help="Keep it off env: it goes into headers of outbound requests alone.")
@click.option("--for", "origin", metavar="ORIGIN", help="With --sealed: the one origin that it may be sent to.")
@host_options
@json_option
def set_secret(name: str, sealed: bool, origin: str | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """Set the secret NAME; functions that name it see it as env.NAME from their next turn on.

    A sealed one is seen by no function: the host fills it in where holdfast.toml says so,
    [outbound.headers."ORIGIN"], and sends it to that origin alone.

    The value is asked for on a terminal and read from standard input otherwise, without the line break at its end. It
    is no argument, for those are seen by every process of the machine.
    """
    if sealed != (origin is not None):
        raise CommandFailedError("Say both or neither: --sealed --for https://api.example.com.")
    body = {"value": _read_value(name), **({} if origin is None else {"sealed_for": origin})}
    with open_client(host, token_file) as client:
        answer = client.put(_path(name), body, ShownSecret)
    tell(answer, f"Secret '{name}' is set.", as_json)
    if not as_json and not answer.get("functions") and not sealed:
        say(
            f'No deployed function sees it: name it in holdfast.toml, [secrets] names = ["{name}"], and deploy.',
            err=True,
        )


@command.command("list", epilog=_LIST_EXAMPLES)
@host_options
@json_option
def list_secrets(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the names of the secrets, when each was set, and which functions see it."""
    with open_client(host, token_file) as client:
        answer = client.get("/v1/secrets", Secrets)
    if as_json:
        print_json(answer)
    else:
        rows = [(each["name"], each["updated_at"], ", ".join(each.get("functions", ()))) for each in answer["secrets"]]
        print_table(("name", "set", "functions"), rows)


@command.command("delete", epilog=_DELETE_EXAMPLES)
@click.argument("name")
@host_options
@json_option
def delete_secret(name: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Delete the secret NAME."""
    with open_client(host, token_file) as client:
        answer = client.delete(_path(name), ShownSecret)
    tell(answer, f"Secret '{name}' is deleted.", as_json)


def _path(name: str) -> str:
    return api_path("secrets", name)


def _read_value(name: str) -> str:
    if sys.stdin.isatty():
        return ask_hidden(f"Value of {name}")
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise CommandFailedError("The secret on standard input is not UTF-8 text.") from None
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise CommandFailedError("There is no secret on standard input: pipe it in, or use a terminal to be asked.")
    return value
