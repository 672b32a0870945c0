"""`holdfast call`: call a method of an instance and print its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import json_option, print_json, readable_json, say
from holdfast_host.cli.typed_values import begins_container, container_of, json_of

KEY_CHARS_MAX: Final = 255

_EXAMPLES: Final = """\b
Examples:
  holdfast call Account alice deposit amount=100
  holdfast call Account alice debit '[30]'
  holdfast call Account alice balance
  holdfast call Account alice deposit amount=5 --key order-17   # once, however often it is run
  holdfast call Cart alice add price='"9.90"'       # text, as a Decimal wants it
"""


@click.command("call", epilog=_EXAMPLES, context_settings={"ignore_unknown_options": True})
@instance_arguments
@click.argument("method")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE... | JSON]")
@click.option("--key", metavar="TEXT", help="An idempotency key: the call has one effect, and its answer, for a day.")
@host_options
@json_option
def command(
    actor_type: str,
    name: str,
    method: str,
    arguments: tuple[str, ...],
    key: str | None,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Call METHOD of the instance NAME and print its result as JSON.

    Arguments are KEY=VALUE pairs, where a VALUE is JSON if it parses and text otherwise (what begins with { or [ must
    parse), or one JSON object (keywords) or array (positions).
    """
    if key is not None and not (1 <= len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise click.UsageError(f"--key has 1 to {KEY_CHARS_MAX} printable ASCII characters, {key!r} has not.")
    with open_client(host, token_file) as client:
        result = client.call(actor_type, name, method, arguments_json(arguments), key)
    if as_json:
        print_json(result)
    else:
        say(readable_json(result))


def arguments_json(arguments: tuple[str, ...]) -> str:
    """The arguments as JSON text: an object or an array; numbers keep the digits they were typed with."""
    if len(arguments) == 1 and begins_container(arguments[0]):
        return container_of(arguments[0])
    pairs: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key.isidentifier():
            raise click.UsageError(f"{argument!r} is neither KEY=VALUE nor the only argument, a JSON object or array.")
        if key in pairs:
            raise click.UsageError(f"{key!r} is given twice: name each argument once.")
        pairs[key] = json_of(value, f"The value of {key!r}")
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in pairs.items()) + "}"
