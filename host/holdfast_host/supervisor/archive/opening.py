"""The archive of a host, where there is one. Its compressor is loaded only then: a host's start is short."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast_host.core.config import HostConfig
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.archive.base_maker import TakeBackup
    from holdfast_host.supervisor.archive.service import Archive
    from holdfast_host.supervisor.startup import HostResources


def open_archive(config: HostConfig, resources: HostResources, take: TakeBackup, log: EventLog) -> Archive | None:
    """What the operator asked for; `take` makes a backup, of which a base is made."""
    if config.archive is None:
        return None
    from holdfast_host.storage.archive.roots import archive_root
    from holdfast_host.supervisor.archive.service import Archive

    return Archive(archive_root(config.archive), config.archive_keep_s, resources, take, log)
