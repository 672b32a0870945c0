"""A real supervisor over fake children: `fake_host.py DATA WORKERS STOP_S`; what it compiles is a file of JSON."""

import json
import sys
import time
from pathlib import Path

from holdfast_host.core.config import HostConfig
from holdfast_host.supervisor.host import serve
from holdfast_host.supervisor.processes.child import Programs
from holdfast_host.supervisor.processes.supervision import ProbeTimes
from tests.unit.supervisor.fake_compile import compile_json


def main() -> int:
    started = time.monotonic()
    data, workers, stop_s = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    child = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
    config = HostConfig.make(
        listen="127.0.0.1:0", data=data, workers=workers, limits=[f"stop_timeout_s={stop_s}"], log_level="debug"
    )

    def announce(url: str) -> None:
        print(json.dumps({"url": url, "after_s": time.monotonic() - started}), flush=True)

    return serve(
        config,
        announce,
        compile_json,
        programs=Programs((*child, "worker"), (*child, "front")),
        probe_times=ProbeTimes(ping_every_s=0.05, pings_unanswered_max=40, start_s=15.0, closing_s=0.5),
    )


if __name__ == "__main__":
    sys.exit(main())
