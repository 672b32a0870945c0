"""`python -m holdfast_host.front.main FD`: a front process; FD is its end of the control channel."""

from __future__ import annotations

import logging
import os
import sys

import uvloop

from holdfast_host.core.authorities import left_unread
from holdfast_host.core.child_process import calm_collector, enter_child
from holdfast_host.core.logs import adopt_logging, adopt_tracebacks


def main() -> None:
    """Be a front until the supervisor says `stop` (exit 0) or is gone (exit 1)."""
    channel = enter_child(int(sys.argv[1]))
    adopt_logging("front", "info")
    adopt_tracebacks("front")
    with left_unread():  # by aiohttp, which comes with it
        from holdfast_host.front.process import run_front
    calm_collector()
    uvloop.run(run_front(channel))
    logging.shutdown()
    os._exit(0)  # no wait for a thread that still writes an upload


if __name__ == "__main__":
    main()
