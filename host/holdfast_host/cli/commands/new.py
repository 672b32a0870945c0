"""`holdfast new`: a project to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.build.scaffold import make_project
from holdfast_host.build.templates import TEMPLATES
from holdfast_host.cli.output import CommandFailedError, say
from holdfast_host.core.errors import HoldfastError

_EXAMPLES: Final = """\b
Example:
  holdfast new account && cd account && holdfast dev
  holdfast new helpdesk --template agent
"""
_TEMPLATES: Final = "; ".join(f"`{name}`, {what}" for name, what in TEMPLATES.items())


@click.command("new", epilog=_EXAMPLES)
@click.argument("name")
@click.option("--template", metavar="TEMPLATE", help=f"What it begins as: {_TEMPLATES}. A counter unless this says it.")
def command(name: str, template: str | None) -> None:
    """Make a project NAME here: a small actor, a fetch handler, a test that passes."""
    try:
        project = make_project(Path(), name, template)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None
    say(f"Project '{name}' is made: cd {project} && holdfast dev")
