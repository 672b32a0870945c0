"""`holdfast deploy`: build a project and deploy it, or deploy what is built already."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.client import HostClient, RefusedError
from holdfast_host.cli.function_ids import IDS_FILE, keep_func_id, kept_func_ids
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import CommandFailedError, Stages, has_screen, json_option, print_json, say
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.ids import check_function_name
from holdfast_host.core.limits import MIB
from holdfast_host.core.manifest import MANIFEST_FILE, Manifest, text_for_host
from holdfast_host.core.project_manifest import manifest_text, read_manifest, write_func_id

_EXAMPLES: Final = """\b
Examples:
  holdfast deploy
  holdfast deploy examples/account
  holdfast deploy --env staging --host https://staging.example.com
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
    environment: str | None = None
    func_id: str | None = None  # as it is known here


@click.command("deploy", epilog=_EXAMPLES)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--component",
    type=click.Path(path_type=Path),
    metavar="FILE.wasm",
    help="Deploy this built component. With DIR under its manifest; alone under the file's name, every class bound.",
)
@click.option(
    "--env",
    "environment",
    metavar="NAME",
    help="Deploy it as [env.NAME] of holdfast.toml says: with its variables, limits and the like.",
)
@click.option("--allow-breaking", is_flag=True, help="Let the new version drop what callers may rely on.")
@click.option("--adopt", is_flag=True, help="Take over the types of a function that is gone.")
@host_options
@json_option
def command(
    directory: Path | None,
    component: Path | None,
    environment: str | None,
    allow_breaking: bool,
    adopt: bool,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Build the project in DIR (the current one by default), and deploy it.

    The first deploy writes the function's identity, func_id, into holdfast.toml: keep it there. Those of an environment
    are kept for each host in .holdfast-functions.json beside it, which is not for version control.
    """
    flags = [name for name, given in (("allow_breaking", allow_breaking), ("adopt", adopt)) if given]
    with open_client(host, token_file) as client, Stages(quiet=as_json) as stages:
        if component is None:
            deployable = _from_project(directory or Path(), environment, client.url, stages)
        else:
            deployable = _from_component(component, directory, environment, client.url)
        _check_apart(client, deployable)
        function = _deploy(client, deployable, flags, stages)
    _keep_func_id(deployable, client.url, function.get("func_id"))
    if component is None and has_screen():
        _prepare_the_next(directory or Path())
    if as_json:
        print_json(function)
    else:
        for each in function.get("versions", ())[:1]:
            size, kept = (facts.get("disk_bytes", 0) / MIB for facts in (each, function))
            say(f"Version {each['version']} takes {size:.1f} MiB of the host's disk, all that are kept {kept:.1f} MiB.")
        say(f"Function '{deployable.function}' is deployed: {function['url']}")
    for warning in answers.missing_secrets(function):
        say(warning, err=True)


def _prepare_the_next(directory: Path) -> None:
    """Have a base made in the background, where there is none: whoever sits at a terminal will change the sources."""
    with suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-P", "-m", "holdfast_host.cli.main", "build", "--base", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it goes on when the terminal is closed
        )


def _from_project(directory: Path, environment: str | None, url: str, stages: Stages) -> Deployable:
    """Build it now: the component is the same in every environment."""
    from holdfast_host.cli.commands.build import build  # which needs a builder

    if environment is not None:
        _read_manifest(directory, environment)  # what is wrong with it is told before a build
    return _under_manifest(build(directory, stages, quickly=True).path, directory, environment, url)


def _from_component(component: Path, directory: Path | None, environment: str | None, url: str) -> Deployable:
    """A component that is there already, under a project's manifest or under its own file's name."""
    if not component.is_file():
        raise CommandFailedError(f"{component} is no file: build one with 'holdfast build'.")
    if directory is not None:
        return _under_manifest(component, directory, environment, url)
    if environment is not None:
        raise CommandFailedError("--env goes with a holdfast.toml: name its directory beside --component.")
    try:
        return Deployable(check_function_name(component.stem), component)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None


def _under_manifest(component: Path, directory: Path, environment: str | None, url: str) -> Deployable:
    manifest = _read_manifest(directory, environment)
    func_id = manifest.func_id if environment is None else kept_func_ids(directory, url).get(environment)
    text = text_for_host(manifest_text(directory), environment, func_id)
    return Deployable(manifest.name, component, text, directory, environment, func_id)


def _read_manifest(directory: Path, environment: str | None) -> Manifest:
    try:
        return read_manifest(directory, environment=environment)
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None


def _check_apart(client: HostClient, deployable: Deployable) -> None:
    """A first deploy to a host must not replace what the project has there as another environment, or as none."""
    project, environment = deployable.project, deployable.environment
    if project is None or deployable.func_id is not None:
        return
    others = {f"with --env {name}": func_id for name, func_id in kept_func_ids(project, client.url).items()}
    own = None if environment is None else _read_manifest(project, None).func_id
    if own is not None:
        others["without --env"] = own
    if not others:
        return
    try:
        there = client.get(api_path("functions", deployable.function), answers.RunningFunction).get("func_id")
    except RefusedError as error:
        if error.name == "UnknownFunctionError":
            return
        raise
    for how, func_id in others.items():
        if func_id == there:
            raise CommandFailedError(
                f"'{deployable.function}' at {client.url} is what was deployed {how} ({func_id}): give one of the two "
                f"a name of its own in {MANIFEST_FILE}, or name its host with --host."
            )


def _deploy(client: HostClient, deployable: Deployable, flags: list[str], stages: Stages) -> answers.RunningFunction:
    """Upload it and show what the host does with it."""
    size_bytes = deployable.component.stat().st_size
    try:
        return client.deploy(
            deployable.function,
            deployable.component,
            deployable.manifest,
            flags=flags,
            on_sent=stages.begin_upload(f"Uploading to {client.url}", size_bytes),
            on_stage=lambda stage: stages.begin(_STAGES.get(stage, stage[:1].upper() + stage[1:])),
        )
    except RefusedError as error:
        kept = None if deployable.environment is None else deployable.func_id
        if error.name != "DeployConflictError" or kept is None or kept not in error.reason:
            raise
        raise CommandFailedError(f"{error.message}; {kept} is kept in {IDS_FILE}: without it the name counts") from None


def _keep_func_id(deployable: Deployable, url: str, func_id: str | None) -> None:
    """Keep the identity that the host gave: in the manifest at the first deploy, an environment's beside it."""
    project, environment = deployable.project, deployable.environment
    if project is None or not func_id or deployable.func_id == func_id:
        return
    try:
        if environment is not None:
            keep_func_id(project, url, environment, func_id)
        elif deployable.func_id is None:
            write_func_id(project, func_id)
    except OSError as error:
        if environment is not None:
            say(
                f"The identity {func_id} is not kept: {project / IDS_FILE} cannot be written ({error.strerror}).",
                err=True,
            )
            return
        say(
            f'Add [deploy] func_id = "{func_id}" to {project / MANIFEST_FILE} yourself: '
            f"it cannot be written ({error.strerror}).",
            err=True,
        )
