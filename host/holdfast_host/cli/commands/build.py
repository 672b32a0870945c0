"""`holdfast build`: a project directory becomes a component."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.build.project import BuiltComponent, build_project
from holdfast_host.cli.output import CommandFailedError, Stages, json_option, print_json, say, shown_path
from holdfast_host.core.errors import HoldfastError

_EXAMPLES: Final = """\b
Examples:
  holdfast build
  holdfast build examples/account
"""


@click.command("build", epilog=_EXAMPLES)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Build the project in DIR (the current one by default) into build/NAME.wasm."""
    with Stages(quiet=as_json) as stages:
        built = build(directory, stages)
    if as_json:
        print_json({"name": built.manifest.name, "path": str(built.path), "size_bytes": built.size_bytes})
    else:
        say(f"Function '{built.manifest.name}' is built: {shown_path(built.path)}")


def build(directory: Path, stages: Stages) -> BuiltComponent:
    """Build a project and show its stages; a refusal is the author's to mend, in one sentence."""
    if not directory.is_dir():
        raise CommandFailedError(f"{directory} is no directory: name the one that holds holdfast.toml.")

    def begin(stage: str) -> None:
        text = stage[:1].upper() + stage[1:]
        if stage.startswith("warning: "):
            stages.tell(text)
        elif not stage.startswith("built "):  # its end, which the command itself tells
            stages.begin(text)

    try:
        return build_project(directory, begin)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None
