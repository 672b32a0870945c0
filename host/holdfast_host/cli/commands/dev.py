"""`holdfast dev`: a host and one or several projects in one terminal, live at every save."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.client import HostClient
from holdfast_host.cli.dev.log import readable_log
from holdfast_host.cli.dev.project import DevProject
from holdfast_host.cli.output import CommandFailedError, say, say_labelled
from holdfast_host.core.config import OUTBOUND_DEFAULT, HostConfig, Listen, is_loopback, parse_listen
from holdfast_host.core.errors import HoldfastError
from holdfast_host.sandbox.components.compile_client import compile_component
from holdfast_host.supervisor.directory.layout import DirectoryLayout
from holdfast_host.supervisor.directory.lock import DirectoryLock
from holdfast_host.supervisor.host import serve

_JOIN_S: Final = 15.0  # a build that is under way ends by itself
_EXAMPLES: Final = """\b
Examples:
  holdfast dev
  holdfast dev account account-readonly --fresh
"""


@click.command("dev", epilog=_EXAMPLES)
@click.argument("directories", metavar="[DIR]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--listen",
    default="127.0.0.1:8787",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the first project answers, at the root.",
)
@click.option(
    "--api",
    default="127.0.0.1:8788",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the host's API and all projects answer; port 0 takes a free one.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The data directory.  [default: .holdfast in the first project]",
)
@click.option("--env", "environment", metavar="NAME", help="As [env.NAME] of each project's holdfast.toml says.")
@click.option("--outbound", multiple=True, metavar="PATTERN", help="As of serve.  [default: https://*]")
@click.option(
    "--outbound-private", multiple=True, metavar="ADDRESS", help="As of serve: 127.0.0.1 for your own server."
)
@click.option("--fresh", is_flag=True, help="Begin without what earlier runs have stored.")
def command(
    directories: tuple[Path, ...],
    listen: str,
    api: str,
    data: Path | None,
    environment: str | None,
    outbound: tuple[str, ...],
    outbound_private: tuple[str, ...],
    fresh: bool,
) -> None:
    """Run the projects in DIRs (the current one by default) on a host of their own, until Ctrl-C.

    What is saved is live in well under a second. Instances keep their storage from one run to the next.
    """
    folders = directories or (Path(),)
    try:
        projects = [DevProject(directory, _say, environment) for directory in folders]
    except HoldfastError as error:
        raise CommandFailedError(error.message) from None
    names = [project.name for project in projects]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CommandFailedError(f"Two of the projects are called {twice!r}: give one another name in holdfast.toml.")
    root, where = parse_listen(listen), parse_listen(api, "--api")
    if root.port == 0 or not is_loopback(root):
        raise CommandFailedError(f"--listen {listen!r}: name a loopback address and a port.")
    if not is_loopback(where):
        raise CommandFailedError(f"--api {api!r}: name a loopback address; a host for development has no token.")
    folder = data or folders[0] / ".holdfast"
    config = HostConfig.make(
        listen=where,
        data=folder,
        log_level="warning",
        log_format="json",
        outbound=outbound or OUTBOUND_DEFAULT,
        outbound_private=outbound_private,
        environment=os.environ,
    )
    config = replace(config, root_listen=root, root_function=names[0])
    if fresh:
        _clear(config.data)
    tokens = DirectoryLayout(config.data, 0).tokens
    if tokens.exists():  # of a backup that was restored here, for one
        raise CommandFailedError(
            f"{folder} asks every caller for a token, which a host for development has not: use 'holdfast serve' with "
            f"one, or remove {tokens}, which opens it."
        )
    with readable_log():
        code = _run(config, projects, root)
    sys.exit(code)


def _run(config: HostConfig, projects: list[DevProject], root: Listen) -> int:
    """The host in this thread, the projects in others, until the host stops."""
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def begin(url: str) -> None:
        threads.append(threading.Thread(target=_develop, args=(url, projects, root, stopping), daemon=True))
        threads[0].start()

    try:
        return serve(config, begin, compile_component)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(_JOIN_S)


def _develop(url: str, projects: list[DevProject], root: Listen, stopping: threading.Event) -> None:
    """Deploy all, owners before those that refer to them, then follow what is saved."""
    with HostClient(url, None) as client:
        waiting = sorted(projects, key=_foreign_types)
        for left in range(len(projects), 0, -1):
            waiting = [each for each in waiting if not stopping.is_set() and each.start(client, last=left == 1)]
    port = url.rpartition(":")[2]
    for number, project in enumerate(projects):
        own = f"http://{project.name}.localhost:{port}"
        say(f"{project.name}: http://localhost:{root.port} and {own}" if number == 0 else f"{project.name}: {own}")
    say(f"API: {url} (for other commands: export HOLDFAST_HOST={url})")
    say("Save a file, and it is live. Ctrl-C ends it; what is stored stays.")
    followers = [threading.Thread(target=_follow, args=(url, each, stopping), daemon=True) for each in projects]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()


def _foreign_types(project: DevProject) -> int:
    """How many it has of others; of one whose sources cannot be read, which its own start says, all."""
    try:
        return project.foreign_types()
    except (HoldfastError, OSError):
        return len(project.manifest.actors)


def _follow(url: str, project: DevProject, stopping: threading.Event) -> None:
    with HostClient(url, None) as client:
        project.watch(client, stopping)


def _clear(data: Path) -> None:
    """Remove what is stored, unless a host runs on it or it is no data directory."""
    if not data.exists():
        return
    if not (data / "format.json").exists() and any(data.iterdir()):
        raise CommandFailedError(f"{data} is no data directory: nothing was removed.")
    with DirectoryLock.acquire(data) as lock:
        lock.keep_predecessor()
        for entry in data.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()


def _say(function: str, text: str) -> None:
    say_labelled(function, text, bold=True)
