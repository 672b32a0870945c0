"""`holdfast build`: a project directory becomes a component."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import click

from holdfast_host.build.project import BuiltComponent, OnStage, build_project, prepare_base
from holdfast_host.cli.output import CommandFailedError, Stages, json_option, print_json, say, shown_path
from holdfast_host.core.errors import HoldfastError

_Result = TypeVar("_Result")

_EXAMPLES: Final = """\b
Examples:
  holdfast build
  holdfast build examples/account
  holdfast build --base
"""


@click.command("build", epilog=_EXAMPLES)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--base", is_flag=True, help="Prepare what deploys of changed sources go on from, and build nothing.")
@json_option
def command(directory: Path, base: bool, as_json: bool) -> None:
    """Build the project in DIR (the current one by default) into build/NAME.wasm."""
    if base:
        _prepare(directory, as_json)
        return
    with Stages(quiet=as_json) as stages:
        built = build(directory, stages)
    if as_json:
        print_json({"name": built.manifest.name, "path": str(built.path), "size_bytes": built.size_bytes})
    else:
        say(f"Function '{built.manifest.name}' is built: {shown_path(built.path)}")


def _prepare(directory: Path, as_json: bool) -> None:
    with Stages(quiet=as_json) as stages:
        prepared = _staged(directory, stages, prepare_base)
    if as_json:
        print_json({"prepared": prepared})
    elif prepared:
        say("Deploys of changed sources go on from the base that is prepared.")
    else:
        say("Modules of this project are called like modules of Python, so that each of its deploys is a whole build.")


def build(directory: Path, stages: Stages, *, quickly: bool = False) -> BuiltComponent:
    """Build a project and show its stages; a refusal is the author's to mend, in one sentence."""
    return _staged(directory, stages, partial(build_project, quickly=quickly))


def _staged(directory: Path, stages: Stages, run: Callable[[Path, OnStage], _Result]) -> _Result:
    if not directory.is_dir():
        raise CommandFailedError(f"{directory} is no directory: name the one that holds holdfast.toml.")

    def begin(stage: str) -> None:
        text = stage[:1].upper() + stage[1:]
        if stage.startswith("warning: "):
            stages.tell(text)
        elif not stage.startswith("built "):  # its end, which the command itself tells
            stages.begin(text)

    try:
        return run(directory, begin)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None
