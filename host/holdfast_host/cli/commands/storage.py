"""`holdfast storage`: single keys of an instance; `holdfast inspect` lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import json_option, print_json, readable_json, say, tell
from holdfast_host.cli.typed_values import json_of

_EXAMPLES: Final = """\b
Examples:
  holdfast storage get Account alice balance
  holdfast storage put Account alice balance 100
  holdfast storage delete Account alice balance
"""
_GET_EXAMPLES: Final = """\b
Example:
  holdfast storage get Account alice balance
"""
_PUT_EXAMPLES: Final = """\b
Examples:
  holdfast storage put Account alice balance 100
  holdfast storage put Account alice owner '{"name": "Alice"}'
"""
_DELETE_EXAMPLES: Final = """\b
Example:
  holdfast storage delete Account alice balance
"""


@click.group("storage", epilog=_EXAMPLES)
def command() -> None:
    """Read, write and delete single keys of an instance. Writing and deleting are turns: they wait in its mailbox."""


@command.command("get", epilog=_GET_EXAMPLES)
@instance_arguments
@click.argument("key")
@host_options
@json_option
def get_value(actor_type: str, name: str, key: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Show the value of KEY, as of the last commit."""
    with open_client(host, token_file) as client:
        value = client.get(instance_path(actor_type, name, "storage", key), answers.ANY)
    if as_json:
        print_json(value)
    else:
        say(readable_json(value))


@command.command("put", epilog=_PUT_EXAMPLES, context_settings={"ignore_unknown_options": True})
@instance_arguments
@click.argument("key")
@click.argument("value")
@host_options
@json_option
def put_value(
    actor_type: str, name: str, key: str, value: str, host: str, token_file: Path | None, as_json: bool
) -> None:
    """Write VALUE under KEY. It is JSON if it parses and a text otherwise; what begins with { or [ must parse."""
    typed = json_of(value, "VALUE")
    with open_client(host, token_file) as client:
        answer = client.put_text(instance_path(actor_type, name, "storage", key), typed, answers.StoredKey)
    tell(answer, f"{key} of {actor_type}/{name} is stored.", as_json)


@command.command("delete", epilog=_DELETE_EXAMPLES)
@instance_arguments
@click.argument("key")
@host_options
@json_option
def delete_value(actor_type: str, name: str, key: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Delete KEY."""
    with open_client(host, token_file) as client:
        answer = client.delete(instance_path(actor_type, name, "storage", key), answers.Deleted)
    label = f"{key} of {actor_type}/{name}"
    sentence = f"{label} is deleted." if answer["deleted"] else f"There is no {label}: nothing is changed."
    tell(answer, sentence, as_json)
