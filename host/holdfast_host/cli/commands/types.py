"""`holdfast types`: stub classes for a project's bindings, or for a backend's client; for editors and type checkers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from holdfast_host.build.bindings import BINDINGS_FILE, BoundType, render_bindings
from holdfast_host.build.client_declarations import CLIENT_FILES, render_declarations
from holdfast_host.build.client_types import render_clients
from holdfast_host.cli import answers
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import CommandFailedError, Stages, say, shown_path
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.manifest import Manifest
from holdfast_host.core.project_manifest import read_manifest

_EXAMPLES: Final = """\b
Examples:
  holdfast types
  holdfast types examples/account-readonly --host http://127.0.0.1:8787
  holdfast types --client shop/actors.py --type Account --type Cart
  holdfast types --client web/actors.d.ts
"""


@click.command("types", epilog=_EXAMPLES)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option(
    "--client",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write for clients instead, of the actor types that the host has: classes for `holdfast.client` into a .py "
    "file; or declarations for JavaScript into a .d.ts file, and the JavaScript client beside it.",
)
@click.option(
    "--type", "only", multiple=True, metavar="TYPE", help="With --client: these types alone; may be repeated."
)
@host_options
def command(directory: Path, client: Path | None, only: tuple[str, ...], host: str, token_file: Path | None) -> None:
    """Write bindings.py beside the main module of the project in DIR: types of what is on env.

    The project's own actors are described by a build; those that it only refers to by the host, which a project that
    refers to none does not need.

    With --client, write types for a backend or a page that calls actors: FILE.py for `holdfast.client` in Python; or
    FILE.d.ts for JavaScript, with the client itself, holdfast.js, beside it.
    """
    if client is not None:
        _write_clients(client, only, host, token_file)
        return
    if only:
        raise CommandFailedError("--type goes with --client: a project's bindings say which types they lead to.")
    from holdfast_host.build.project import describe_project  # which needs a builder

    try:
        with Stages() as stages:
            manifest = read_manifest(directory)
            target = _target(directory, manifest)
            if not target.exists():  # the sources may import it already
                target.write_text(render_bindings([BoundType(e.binding, e.type) for e in manifest.actors], []), "utf-8")
            stages.begin("Describing the project")
            own = {each["type"]: each for each in describe_project(directory)["actors"]}
            foreign = {each.type: each.optional for each in manifest.actors if each.type not in own}
            if foreign:
                stages.begin(f"Asking {host} about {', '.join(sorted(foreign))}")
                own |= _ask(host, token_file, foreign)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None
    bound = [
        BoundType.of(each.binding, own[each.type])
        if each.type in own
        else BoundType(each.binding, each.type, is_known=False)
        for each in manifest.actors
    ]
    target.write_text(render_bindings(bound, list(manifest.vars), manifest.secrets), "utf-8")
    say(f"Types are written: {shown_path(target.resolve())}")
    for each in bound:
        if not each.is_known:
            say(f"{each.type} is not deployed at {host} yet: {each.binding} has no types of its own.", err=True)


def _write_clients(target: Path, only: tuple[str, ...], host: str, token_file: Path | None) -> None:
    is_python = target.suffix == ".py"
    if not is_python and (not target.name.endswith(".d.ts") or target.name in CLIENT_FILES):
        raise CommandFailedError(
            f"--client names a file to write, like actors.py for Python or actors.d.ts for JavaScript, not {target}."
        )
    with open_client(host, token_file) as client:
        found = {each["type"]: each for each in client.get("/v1/actors", answers.ActorTypes)["actors"]}
    for name in only:
        if name not in found:
            raise CommandFailedError(
                f"The host at {host} has no actor type {name!r}: it has {', '.join(sorted(found))}."
            )
    types = [BoundType.of("", found[name]) for name in (only or found)]
    if is_python:
        _write(target, render_clients(types), "Types are")
        return
    _write(target, render_declarations(types), "Types are")
    for name in CLIENT_FILES:
        text = (files("holdfast_host.cli") / "javascript" / name).read_text("utf-8")
        _write(target.with_name(name), text, "The client is")


def _write(target: Path, text: str, what: str) -> None:
    try:
        target.write_text(text, "utf-8")
    except OSError as error:
        raise CommandFailedError(f"{target} cannot be written: {error.strerror}.") from None
    say(f"{what} written: {shown_path(target.resolve())}")


def _target(directory: Path, manifest: Manifest) -> Path:
    """The file, where the main module can import it."""
    if manifest.main is None:
        raise CommandFailedError("holdfast.toml has no main, so there is no module that could use types.")
    from holdfast_host.build.sources import import_root, inside

    project = directory.resolve()
    root, _ = import_root(project, manifest.main)
    return inside(project, root / BINDINGS_FILE)


def _ask(host: str, token_file: Path | None, types: dict[str, bool]) -> dict[str, answers.ActorType]:
    """The descriptions of types that other functions own; of those that are optional, the ones that are deployed."""
    with open_client(host, token_file) as client:
        actors = client.get("/v1/actors", answers.ActorTypes)["actors"]
    found = {each["type"]: each for each in actors if each["type"] in types}
    missing = sorted(name for name, optional in types.items() if name not in found and not optional)
    if missing:
        raise CommandFailedError(
            f"The host at {host} has no actor type {missing[0]!r}, which holdfast.toml names: deploy its owner first."
        )
    return found
