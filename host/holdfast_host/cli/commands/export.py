"""`holdfast export`: one instance to move or to keep; or all instances of a type, for a tool that asks questions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import api_path, instance_path, with_query
from holdfast_host.cli.exports import ExportedLines, ascii_json
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import CommandFailedError, counted, json_option, say, tell
from holdfast_host.core.durable_files import fill_durably, move_durably, written_alone

_EXAMPLES: Final = """\b
Examples:
  holdfast export Account alice --output alice.ndjson
  holdfast export Account > accounts.ndjson
  holdfast export Account --prefix eu/ --format parquet --output accounts.parquet
"""


@click.command("export", epilog=_EXAMPLES)
@click.argument("actor_type", metavar="TYPE")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Not stdout.")
@click.option("--format", "kind", type=click.Choice(["ndjson", "parquet"]), default="ndjson", show_default=True)
@click.option("--prefix", default="", metavar="TEXT", help="Only instances whose names begin with it.")
@host_options
@json_option
def command(
    actor_type: str,
    name: str | None,
    output: Path | None,
    kind: str,
    prefix: str,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Write one instance of TYPE, with typed values, alarm and jobs, as 'holdfast import' reads it.

    Without NAME: a row for each key of each instance, from one snapshot of each partition, for tools that ask
    questions of many. Calls go on meanwhile. FILE is there once all of it was written.
    """
    if name is not None and (prefix or kind != "ndjson"):
        raise click.UsageError("One instance has one form: leave --prefix and --format out, or NAME.")
    if kind == "parquet" and output is None:
        raise click.UsageError("A Parquet file needs a name: add --output FILE.")
    path = with_query(api_path("export", actor_type), {"prefix": prefix} if prefix else {})
    if name is not None:
        path = instance_path(actor_type, name, "export")
    with open_client(host, token_file) as client:
        lines = ExportedLines(client, path)
        if output is None:
            for line in lines if name is not None else lines.rows():
                say(ascii_json(line))
            return
        _write(output, lines, kind, whole=name is not None)
    tell({"file": str(output), **lines.end}, f"{output}: {counted(lines.end['keys'], 'key')}", as_json)


def _write(output: Path, lines: ExportedLines, kind: str, *, whole: bool) -> None:
    """The file, once it is whole; only its owner can read it, as the data that it has."""
    draft = output.with_name(f"{output.name}.part")
    try:
        with written_alone(draft) as file:
            try:
                if kind == "parquet":
                    from holdfast_host.cli.parquet import write_parquet

                    write_parquet(file, lines.rows())
                else:
                    fill_durably(file, (line + b"\n" for line in (lines if whole else lines.rows())))
                move_durably(draft, output)
            finally:
                draft.unlink(missing_ok=True)
    except BlockingIOError:
        raise CommandFailedError(f"Another export into {output} is under way: wait until it has ended.") from None
    except OSError as error:
        raise CommandFailedError(f"{output} cannot be written: {error.strerror or error}.") from None
