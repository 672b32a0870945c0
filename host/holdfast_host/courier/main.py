"""`python -m holdfast_host.courier.main FD`: the courier; FD is its end of the control channel."""

from __future__ import annotations

import logging
import os
import resource
import sys

import uvloop

from holdfast_host.core.authorities import left_unread
from holdfast_host.core.child_process import calm_collector, enter_child
from holdfast_host.core.logs import adopt_logging, adopt_tracebacks


def main() -> None:
    """Be the courier until the supervisor says `stop` (exit 0) or is gone (exit 1)."""
    channel = enter_child(int(sys.argv[1]))
    adopt_logging("courier", "info")
    adopt_tracebacks("courier")
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))  # each connection is one
    with left_unread():  # by aiohttp, which comes with it
        from holdfast_host.courier.process import run_courier
    calm_collector()
    uvloop.run(run_courier(channel))
    logging.shutdown()
    os._exit(0)  # no wait for a look-up that hangs


if __name__ == "__main__":
    main()
