"""The hosts of a store as operators see them: one on files is alone."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from holdfast_host import __version__
from holdfast_host.core.limits import SHARDS

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.supervisor.startup import HostResources


def list_hosts(resources: HostResources) -> JsonObject:
    """The answer to `ListHosts`, as of the last beat."""
    heart = resources.heart
    if heart is None:
        alone: JsonObject = {
            "host": None,
            "name": socket.gethostname(),
            "url": resources.url,
            "state": "up",
            "release": __version__,
            "workers": len(resources.worker_listeners),
            "shards": SHARDS,
            "beat_age_s": 0.0,
            "is_this": True,
        }
        return {"store": "files", "hosts": [alone]}
    since_s = heart.beat_age_s
    hosts: list[JsonObject] = []
    for each in heart.seen:
        member = each.member
        is_silent = each.is_silent and member.is_alive
        hosts.append(
            {
                "host": member.host,
                "name": member.name,
                "url": member.url,
                "state": "silent" if is_silent else member.state,
                "release": member.release,
                "workers": member.workers,
                "shards": member.shards,
                "beat_age_s": round(each.beat_age_s + since_s, 3) if member.is_alive else None,
                "is_this": member.host == heart.host,
            }
        )
    return {"store": "postgresql", "hosts": hosts}
