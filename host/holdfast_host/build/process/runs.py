"""Starting the processes of this package: with next to nothing of the environment, and an end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

BUILD_TIMEOUT_S: Final = 180.0


def run_confined(
    module: str, facts: dict[str, Any], arguments: Sequence[str], work: Path
) -> subprocess.CompletedProcess[bytes]:
    """Run one of them in the throwaway directory.

    Raises:
        subprocess.TimeoutExpired: it took longer than BUILD_TIMEOUT_S.
    """
    command = [sys.executable, "-I", "-X", "utf8", "-m", f"holdfast_host.build.process.{module}", json.dumps(facts)]
    # A private environment: the guest's build must not see what happens to be installed around it.
    environment = {"VIRTUAL_ENV": str(work / "venv"), "HOME": str(work / "home"), "TMPDIR": str(work / "home")}
    return subprocess.run(
        [*command, *arguments],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
        start_new_session=True,
    )
