"""One project under `holdfast dev`: what is done when something of it was saved.

sources only  -> handed to the running development component: milliseconds
anything else, or sources that need more than was built in -> a real build, announced: seconds
what fails, at either -> says so; the last good version keeps serving
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from holdfast_host.build.development import DevelopmentComponent, ProjectFiles, fingerprint
from holdfast_host.build.project import OnStage
from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.answers import missing_secrets
from holdfast_host.cli.client import HostClient, RefusedError
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.manifest import text_for_host
from holdfast_host.core.project_manifest import manifest_text, read_manifest

LOOK_EVERY_S: Final = 0.1
_REBUILD: Final = "rebuild"  # the code with which a component says that its sources need another build
_FAILURES: Final = (HoldfastError, click.ClickException, OSError)  # said; the author's next save is looked at again

Say = Callable[[str, str], None]  # a function's name, and one line about it


class DevProject:
    """Keeps what runs as it is on disk. `start` and `watch` belong to one thread at a time."""

    def __init__(self, directory: Path, say: Say, environment: str | None = None) -> None:
        """`environment`: which of the manifest's counts; None for the file without any."""
        self._environment = environment
        self._directory = directory
        self.manifest = read_manifest(directory, environment=environment)
        self.files = ProjectFiles(directory)
        self.name = self.manifest.name
        self._say = say
        self._seen = self.files.stamps()
        self._unbuilt: set[Path] = set()  # what has changed since a build that failed: no reload takes it in
        self._runs: str | None = None  # the fingerprint of the sources that serve; None while nothing is deployed

    def foreign_types(self) -> int:
        """How many of the types that it binds are no class in its sources: it goes after the owners of those.

        By the text alone, before anything is built; a wrong number costs a deploy that is refused and made again.
        """
        text = "\n".join(self.files.sources()["files"].values())
        bound = {each.type for each in self.manifest.actors}
        return sum(not re.search(rf"^class {each}\b", text, re.MULTILINE) for each in bound)

    def start(self, client: HostClient, *, last: bool) -> bool:
        """Deploy it, and say why where that fails.

        Args:
            client: to the host.
            last: False when it may be tried again later, after other projects.

        Returns:
            True when it is to be tried again: it refers to a type that is not deployed yet.
        """
        try:
            self._deploy_current(client)
        except RefusedError as error:
            if error.name == "UnresolvedBindingError" and not last:
                return True
            self._say(self.name, error.message)
        except _FAILURES as error:
            self._say(self.name, _reason(error))
        return False

    def watch(self, client: HostClient, stopping: threading.Event) -> None:
        """Follow what is saved until the host stops."""
        while not stopping.wait(LOOK_EVERY_S):
            self.look(client)

    def look(self, client: HostClient) -> None:
        """Take in what has been saved since the last look."""
        now = self.files.stamps()
        changed = {path for path in now.keys() | self._seen.keys() if now.get(path) != self._seen.get(path)}
        if not changed:
            return
        self._seen = now
        changed |= self._unbuilt
        if self._runs is not None and self.files.only_sources(changed):
            self._reload(client, changed)
        else:
            self._unbuilt = changed
            self._rebuild(client, f"{self._listed(changed)} changed")

    def _reload(self, client: HostClient, changed: set[Path]) -> None:
        """Hand the sources to the component that runs."""
        began = time.monotonic()
        try:
            sources = self.files.sources()
            if fingerprint(sources) == self._runs:
                return
            client.put(api_path("functions", self.name, "sources"), sources, answers.RunningFunction)
        except RefusedError as error:
            if error.code == _REBUILD:
                self._rebuild(client, error.reason)
            else:
                self._say(self.name, f"{error.reason} (the last good version keeps serving)")
            return
        except _FAILURES as error:
            self._say(self.name, f"{_reason(error)} (the last good version keeps serving)")
            return
        self._runs = fingerprint(sources)
        took_ms = (time.monotonic() - began) * 1000
        self._say(self.name, f"{self._listed(changed)} is live after {took_ms:.0f} ms")

    def _rebuild(self, client: HostClient, why: str) -> None:
        """A real build, which takes seconds."""
        self._say(self.name, f"{why}: it takes a real build")
        try:
            self._deploy(client, afresh=True)
        except _FAILURES as error:
            kept = " (the last good version keeps serving)" if self._runs is not None else ""
            self._say(self.name, f"{_reason(error)}{kept}")

    def _deploy_current(self, client: HostClient) -> None:
        """Deploy what was built before, or build where that does not do."""
        try:
            self._deploy(client, afresh=False)
        except RefusedError as error:
            if error.code != _REBUILD:
                raise
            self._deploy(client, afresh=True)

    def _deploy(self, client: HostClient, *, afresh: bool) -> None:
        """Build where need be, upload, and hand over sources that are newer than the build."""
        self.files = ProjectFiles(self._directory)
        self.manifest = read_manifest(self._directory, environment=self._environment)
        if self.manifest.name != self.name:
            raise click.ClickException(f"the name is {self.manifest.name!r} now: start holdfast dev again")
        sources = fingerprint(self.files.sources())
        component = self.files.component(self._on_stage, afresh=afresh)
        self._upload(client, component)
        self._unbuilt = set()
        self._runs = component.baked
        if sources != component.baked:
            client.put(api_path("functions", self.name, "sources"), self.files.sources(), answers.RunningFunction)
            self._runs = sources
        self._say(self.name, "is live")

    def _upload(self, client: HostClient, component: DevelopmentComponent) -> None:
        manifest = text_for_host(manifest_text(self.files.directory), self._environment, None)
        answer = client.deploy(
            self.name,
            component.path,
            manifest,
            flags=["allow_breaking"],
            on_sent=lambda sent_bytes: None,
            on_stage=lambda stage: None,
        )
        for warning in missing_secrets(answer):
            self._say(self.name, warning)

    @property
    def _on_stage(self) -> OnStage:
        def say(stage: str) -> None:
            if stage.startswith(("installing", "building")):
                self._say(self.name, f"{stage} ...")

        return say

    def _listed(self, changed: set[Path]) -> str:
        shown = sorted(str(path.relative_to(self.files.directory)) for path in changed)
        return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, (HoldfastError, click.ClickException)) else str(error)
