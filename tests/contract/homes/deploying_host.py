"""A host that deploys into a store, as a process of its own that may die at a step: what the tests beside it start.

    python -m tests.contract.homes.deploying_host FOLDER DSN HOST COUNT [STEP]

It deploys COUNT versions of a function of its own, and as many of one that all have, and prints each that it has
acknowledged. STEP is where it kills itself, at the last deploy.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import MIB
from holdfast_host.storage.postgres.records.changes import Changes
from holdfast_host.storage.postgres.records.components import StoreComponents
from holdfast_host.supervisor.deploys.running import Running
from holdfast_host.supervisor.directory.layout import DirectoryLayout, make_directory
from holdfast_host.supervisor.homes import Homes, open_store_homes
from holdfast_host.supervisor.registry.mirror import Mirror
from holdfast_host.wire.control.starts import CentralStore
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text

# Where a deploy can be cut off: before or after the call of a method.
STEPS: dict[str, tuple[type, str, bool]] = {
    "before the component is in the store": (StoreComponents, "put", False),
    "after it is": (StoreComponents, "put", True),
    "before the rows are written": (Mirror, "record", False),
    "before the commit": (Changes, "_commit", False),
    "after the commit": (Changes, "_commit", True),
    "after the rows are written": (Mirror, "record", True),
    "before the switch": (Running, "follow", False),
}
# Those after which a deploy is there, though nobody was told so.
THERE = ("after the commit", "after the rows are written", "before the switch")


def opener(dsn: str, host: str, key: Path, cleanup: ExitStack) -> Callable[[DirectoryLayout], Homes]:
    """Opens the homes of a host in the store."""
    store = CentralStore(dsn, "single", host, 1)
    return lambda directory: open_store_homes(store, key, directory, MIB, cleanup)


def component_of(host: str, number: int) -> str:
    return component_text(f"Of{host}", remark=f"{host} {number}")


def deploy_both(bench: DeployBench, host: str, number: int) -> None:
    """One version of the host's own function, and one of the common one."""
    for function, component in (
        (f"own-{host}", component_of(host, number)),
        ("common", component_text("Common", remark=f"{host} {number}")),
    ):
        manifest = manifest_text(function, *((("A", f"Of{host}"),) if function != "common" else (("A", "Common"),)))
        try:
            bench.deploy(function, component, manifest)
        except HoldfastError as error:
            print(f"refused {function} {number} {error.name}: {error.message}", flush=True)
        else:
            print(f"deployed {function} {number}", flush=True)


def die_at(step: str) -> None:
    kind, name, after = STEPS[step]
    real: Callable[..., Any] = getattr(kind, name)

    def dying(*args: Any, **named: Any) -> Any:
        if after:
            real(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(kind, name, dying)


def main() -> None:
    folder, dsn, host, count, *step = sys.argv[1:]
    with ExitStack() as cleanup:
        root = Path(folder)
        make_directory(root / host)
        bench = DeployBench(root / host, open_homes=opener(dsn, host, root / "key", cleanup))
        print("open", flush=True)
        sys.stdin.readline()
        for number in range(1, int(count) + 1):
            if step and number == int(count):
                die_at(step[0])
            deploy_both(bench, host, number)


if __name__ == "__main__":
    main()
