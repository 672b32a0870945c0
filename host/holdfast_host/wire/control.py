"""The control channel between the supervisor and each child: JSON objects, one per line, over an inherited pair.

EOF on it means that the other side is gone: a child then exits at once.

| message | way | facts |
| --- | --- | --- |
| `start` | to child | first message: everything the child needs, see WorkerStart and FrontStart |
| `ready` | from child | `pid`; a worker also `partitions`: [{`partition`, `epoch`, `group`}] |
| `prepare` | to worker | `id`, `deployment`: load the compiled component, keep it beside the current one |
| `switch` | to worker | `id`, `deployment`: every turn that starts from now on runs it |
| `remove` | to worker | `id`, `function`: undeploy |
| `occupied` | to worker | `id`, `types`: numbers of actor types; `done` carries the `types` that have instances here |
| `armed` | to worker | `id`, `types`: numbers of actor types; `done` carries the `types` of which alarms wait here |
| `describe` | to worker | `id`, `deployment`: try a development component with its sources; `done`: `description` |
| `secrets` | to worker | `id`, `values`: all there are; turns that start now see those that their function names |
| `done` | from worker | `id`, `error`: null or {`name`, `message`, `code`}: answers the six above |
| `unloadable` | from worker | `function`, `reason`: it starts without a function whose compiled file does not load |
| `catalog` | to front | `catalog`: what is deployed now |
| `health` | to front | `workers`: which are up; `stalled`: those whose commits hang; `short`: of room; `stopping` |
| `measure` | to child | `id`; answered by `done` with `measures`: what it has counted |
| `activity` | to worker | `id`, `limit`; `done` carries `activity`: what it does now, at most `limit` rows of a kind |
| `quarantine` | to worker | `id`, `instances`: only these may not run, as [type number; name, empty for all] |
| `sync` | from worker | `stalled`: whether its commit in flight takes too long |
| `room` | from worker | `shortage`: why nothing may grow on its disk or in its map; null: it may again |
| `request` | from front | `id`, `operation`, `arguments`: a management operation of the registry |
| `withdraw` | from front | `id`: whoever asked for that request has hung up; what has not begun need not |
| `progress` | to front | `id`, `stage`, further facts: a deploy's stages as they happen |
| `answer` | to front | `id`, `result`, or `error`: {`name`, `message`, `code`} |
| `drain` | to child | finish: a front closes its listener, a worker takes no new root call |
| `drained` | from child | a worker: no turn runs and the groups are settled; a front: no request is open |
| `stop` | to child | close what is open and exit 0 |
| `fatal` | from worker | `reason`: a sync failed; the supervisor stops the host |
| `ping`, `pong` | to child, back | `id`; a worker's comes from its leader, so that a hung one is seen |

Operations of `request`, with their `arguments` and the `result` of the answer; FUNCTION stands for what `GET
/v1/functions/{function}` shows: `name`, `func_id`, `version`, `sha256`, `status`, `reason` where it is `failed`, `url`,
`actors` [{`binding`, `type`, `owner`}], `secrets` [{`name`, `set`}], `versions` [{`version`, `sha256`,
`created_at`, `disk_bytes`}], `disk_bytes`: of all kept versions, equal ones once.

- `deploy` takes `function`, `component` (path of a file below `data/uploads`; the supervisor takes it over, whatever
  happens), `manifest` (text, or null for a bare component), `allow_breaking`, `adopt`, `client` (the address that it
  comes from). Result: FUNCTION with `created`, true for a new function. The stages come as `progress`.
- `measures` takes nothing. Result: `workers` and `fronts`, each [{`up`, `deaths`, `stalled`, `measures`}],
  `quarantined`: how many of `instance` and `function`, `deploys_waiting`: how many wait for the compiler, and
  `private_bytes`: the memory that the supervisor alone holds.
- `activity` takes `limit`. Result: `workers`, each [{`worker`, `pid`, `state`, `age_s`, `heartbeat_s`, `deaths`,
  `commit_stalled`, `shortage`, `answers`, `activity`, `noted`, `noted_total`}]: of one that does not answer, `activity`
  is null and `noted` are those whose turns it has noted on its running page.
- `functions` takes nothing. Result: `functions`: [FUNCTION].
- `undeployed` takes nothing. Result: `actors`: [{`type`, `function`, `func_id`}], those with instances that no deployed
  version ships.
- `function` takes `function`. Result: FUNCTION.
- `delete` takes `function`. Result: FUNCTION as it was.
- `reload` takes `function`, `sources` (JSON text, for a development component). Result: FUNCTION.
- `rollback` takes `function`, `version` (null for the one before). Result: FUNCTION.
- `quarantined` takes `after` [type, name] and `limit`. Result: `rows` [{`function`, `type`, `name`, `version`,
  `what`, `died_at`}], and `more`: whether others follow. `what` is "instance", or, with type and name null, "handler"
  (a function's fetch) or "version" (all of a function).
- `release` takes `type_id`, `name`, or `function`. Result: `released`, whether it was quarantined.
- `secrets` takes nothing. Result: `secrets`: [SECRET], where a SECRET is `name`, `updated_at` and
  `functions`, the names of those that see it.
- `secret_set` takes `name`, `value`. Result: SECRET with `created`.
- `secret_delete` takes `name`. Result: SECRET as it was.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from holdfast_host.core.limits import Limits
from holdfast_host.wire.catalog import Catalog
from holdfast_host.wire.routing import Routing

# A worker's own exit codes, as its supervisor reads them.
EXIT_BUG: Final = 70  # its loop failed, which what a guest did may have caused
EXIT_STORE: Final = 74  # the outcome of a commit is unknown
EXIT_CONFIGURATION: Final = 78  # the operator's to mend; it has said what


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """The facts of a worker's `start`. Descriptors by number are inherited."""

    worker: int
    data: str
    listen_fd: int  # the worker's Unix socket, already listening; it belongs to the supervisor
    routing: Routing
    catalog: Catalog
    limits: Limits
    log_level: str = "info"
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    running_fd: int = -1  # the page on which it notes whose turns run, see wire.running_page; -1 for none
    quarantined: list[list[Any]] = field(default_factory=list)  # type number and name of each
    check_arguments: bool = False  # for functions that do not say
    new_data: bool = True  # nothing can have been stored yet: partitions that are missing are made
    log_format: str = "text"

    def to_json(self) -> dict[str, Any]:
        """As the message's facts."""
        return {
            "worker": self.worker,
            "data": self.data,
            "listen_fd": self.listen_fd,
            "routing": self.routing.to_json(),
            "catalog": self.catalog.to_json(),
            "limits": asdict(self.limits),
            "log_level": self.log_level,
            "log_format": self.log_format,
            "secrets": self.secrets,
            "running_fd": self.running_fd,
            "quarantined": self.quarantined,
            "check_arguments": self.check_arguments,
            "new_data": self.new_data,
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> WorkerStart:
        """What `to_json` wrote."""
        return cls(
            facts["worker"],
            facts["data"],
            facts["listen_fd"],
            Routing.from_json(facts["routing"]),
            Catalog.from_json(facts["catalog"]),
            Limits(**facts["limits"]),
            facts["log_level"],
            facts.get("secrets", {}),
            facts.get("running_fd", -1),
            facts.get("quarantined", []),
            facts.get("check_arguments", False),
            facts.get("new_data", True),
            log_format=facts.get("log_format", "text"),
        )


@dataclass(frozen=True, slots=True)
class FrontStart:
    """The facts of a front's `start`."""

    front: int
    data: str
    listen_fd: int  # the HTTP socket, bound and listening; it belongs to the supervisor
    url: str
    domain: str
    token: str | None
    routing: Routing
    catalog: Catalog
    limits: Limits
    log_level: str = "info"
    allowed_hosts: tuple[str, ...] = ()  # names that requests may be for, beside the domain's and loopback's
    trusted_proxies: tuple[str, ...] = ()  # networks whose word about a request's origin counts
    root_fd: int = -1  # a second HTTP socket, all of which is one function's; -1: there is none
    root_function: str = ""
    log_format: str = "text"

    def to_json(self) -> dict[str, Any]:
        """As the message's facts."""
        return {
            "front": self.front,
            "data": self.data,
            "listen_fd": self.listen_fd,
            "url": self.url,
            "domain": self.domain,
            "token": self.token,
            "routing": self.routing.to_json(),
            "catalog": self.catalog.to_json(),
            "limits": asdict(self.limits),
            "log_level": self.log_level,
            "log_format": self.log_format,
            "allowed_hosts": list(self.allowed_hosts),
            "trusted_proxies": list(self.trusted_proxies),
            "root_fd": self.root_fd,
            "root_function": self.root_function,
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> FrontStart:
        """What `to_json` wrote."""
        return cls(
            facts["front"],
            facts["data"],
            facts["listen_fd"],
            facts["url"],
            facts["domain"],
            facts["token"],
            Routing.from_json(facts["routing"]),
            Catalog.from_json(facts["catalog"]),
            Limits(**facts["limits"]),
            facts["log_level"],
            tuple(facts["allowed_hosts"]),
            tuple(facts["trusted_proxies"]),
            facts["root_fd"],
            facts["root_function"],
            log_format=facts.get("log_format", "text"),
        )


def pack_message(kind: str, **facts: Any) -> bytes:
    """One line."""
    return json.dumps({"kind": kind, **facts}, separators=(",", ":")).encode() + b"\n"


def unpack_message(line: bytes) -> dict[str, Any]:
    """What `pack_message` wrote."""
    message: dict[str, Any] = json.loads(line)
    return message
