"""`holdfast hosts`: who shares the store, and who serves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import host_answers
from holdfast_host.cli.host_options import open_client, whole_host_options
from holdfast_host.cli.output import json_option, print_json, print_table

_EXAMPLES: Final = """\b
Example:
  holdfast hosts
"""


@click.command("hosts", epilog=_EXAMPLES)
@whole_host_options
@json_option
def command(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the hosts of the store: which one serves, how many workers and shards each has, and its last sign of life.

    A host is up, standby (it follows when the one that is up has gone), silent (it says that it is up and gives no
    sign), dead (another one has taken it over) or stopped. One whose storage is in files is alone. The host that
    answers is marked with a star.
    """
    with open_client(host, token_file) as client:
        answer = client.get("/v1/hosts", host_answers.Hosts)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            f"{each['name']}{' *' if each['is_this'] else ''}",
            each["state"],
            each["url"],
            str(each["workers"]),
            str(each["shards"]),
            "" if each["beat_age_s"] is None else f"{each['beat_age_s']:.1f} s",
            each["release"],
            each["host"] or "",
        )
        for each in answer["hosts"]
    ]
    print_table(("name", "state", "url", "workers", "shards", "last beat", "release", "id"), rows)
