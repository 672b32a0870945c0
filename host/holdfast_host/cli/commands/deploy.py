"""`holdfast deploy`: build a project and deploy it, or deploy what is built already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.client import HostClient, host_options, open_client
from holdfast_host.cli.commands.build import build
from holdfast_host.cli.output import CommandFailedError, Stages, json_option, print_json, say
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.ids import check_function_name
from holdfast_host.core.limits import MIB
from holdfast_host.core.manifest import MANIFEST_FILE, Manifest, read_manifest, write_func_id

_EXAMPLES: Final = """\b
Examples:
  holdfast deploy
  holdfast deploy examples/account
  holdfast deploy --component build/account.wasm
"""

# What the host is doing, in words for people; a stage that is not known here is shown as the host names it.
_STAGES: Final = {
    "queued": "Waiting for other components to compile",
    "checking": "Checking",
    "cached": "Compiled before",
    "cache damaged": "Compiling again",
    "compiling": "Compiling",
    "reusing": "Reusing the machine code of an earlier version",
    "trying": "Trying it once",
    "loading": "Loading it into the workers",
    "switching": "Switching to it",
}


@dataclass(frozen=True, slots=True)
class Deployable:
    """What is sent: a component under a function's name, and the project's manifest where there is one."""

    function: str
    component: Path
    manifest: str | None = None
    project: Path | None = None
    func_id: str | None = None


@click.command("deploy", epilog=_EXAMPLES)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--component",
    type=click.Path(path_type=Path),
    metavar="FILE.wasm",
    help="Deploy this built component. With DIR under its manifest; alone under the file's name, every class bound.",
)
@click.option("--allow-breaking", is_flag=True, help="Let the new version drop what callers may rely on.")
@click.option("--adopt", is_flag=True, help="Take over the types of a function that is gone.")
@host_options
@json_option
def command(
    directory: Path | None,
    component: Path | None,
    allow_breaking: bool,
    adopt: bool,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Build the project in DIR (the current one by default), and deploy it.

    The first deploy writes the function's identity, func_id, into holdfast.toml: keep it there.
    """
    flags = [name for name, given in (("allow_breaking", allow_breaking), ("adopt", adopt)) if given]
    with open_client(host, token_file) as client, Stages(quiet=as_json) as stages:
        if component is None:
            deployable = _from_project(directory or Path(), stages)
        else:
            deployable = _from_component(component, directory)
        function = _deploy(client, deployable, flags, stages)
    _keep_func_id(deployable, function.get("func_id"))
    if as_json:
        print_json(function)
    else:
        for each in function.get("versions", ())[:1]:
            size, kept = (facts.get("disk_bytes", 0) / MIB for facts in (each, function))
            say(f"Version {each['version']} takes {size:.1f} MiB of the host's disk, all that are kept {kept:.1f} MiB.")
        say(f"Function '{deployable.function}' is deployed: {function['url']}")
    for warning in answers.missing_secrets(function):
        say(warning, err=True)


def _from_project(directory: Path, stages: Stages) -> Deployable:
    """Build it now."""
    built = build(directory, stages)
    return _under_manifest(built.path, directory, built.manifest)


def _from_component(component: Path, directory: Path | None) -> Deployable:
    """A component that is there already, under a project's manifest or under its own file's name."""
    if not component.is_file():
        raise CommandFailedError(f"{component} is no file: build one with 'holdfast build'.")
    try:
        if directory is not None:
            return _under_manifest(component, directory, read_manifest(directory))
        return Deployable(check_function_name(component.stem), component)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None


def _under_manifest(component: Path, directory: Path, manifest: Manifest) -> Deployable:
    text = (directory / MANIFEST_FILE).read_text("utf-8")
    return Deployable(manifest.name, component, text, directory, manifest.func_id)


def _deploy(client: HostClient, deployable: Deployable, flags: list[str], stages: Stages) -> answers.RunningFunction:
    """Upload it and show what the host does with it."""
    size_bytes = deployable.component.stat().st_size
    return client.deploy(
        deployable.function,
        deployable.component,
        deployable.manifest,
        flags=flags,
        on_sent=stages.begin_upload(f"Uploading to {client.url}", size_bytes),
        on_stage=lambda stage: stages.begin(_STAGES.get(stage, stage[:1].upper() + stage[1:])),
    )


def _keep_func_id(deployable: Deployable, func_id: str | None) -> None:
    """Write the identity that the host gave into the project's manifest, at its first deploy."""
    if deployable.project is None or deployable.func_id is not None or not func_id:
        return
    try:
        write_func_id(deployable.project, func_id)
    except OSError as error:
        say(
            f'Add [deploy] func_id = "{func_id}" to {deployable.project / MANIFEST_FILE} yourself: '
            f"it cannot be written ({error.strerror}).",
            err=True,
        )
