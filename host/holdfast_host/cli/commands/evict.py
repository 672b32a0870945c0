"""`holdfast evict`: one instance out of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import json_option, tell

_EXAMPLES: Final = """\b
Example:
  holdfast evict Account alice
"""


@click.command("evict", epilog=_EXAMPLES)
@instance_arguments
@host_options
@json_option
def command(actor_type: str, name: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Take the instance NAME of TYPE out of memory when its running turn is over; its next call activates it again."""
    with open_client(host, token_file) as client:
        answer = client.post(instance_path(actor_type, name, "evict"), None, answers.Evicted)
    tell(answer, f"{actor_type}/{name} {'is evicted' if answer['evicted'] else 'was not in memory'}.", as_json)
