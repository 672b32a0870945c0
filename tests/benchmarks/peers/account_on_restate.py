"""The same account as a virtual object of Restate, in its Python SDK; `main` runs it beside Restate's server.

Both listen on the one address that they are given, which stands in a network namespace: the server looks for its newest
release outside, each time that it starts. Its log is its own disk's: a write is there before it is answered.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import suppress

import restate

INGRESS_PORT, ADMIN_PORT, NODE_PORT, SERVICE_PORT = 8080, 9070, 5122, 9080
READY_TIMEOUT_S = 60.0
APP = "tests.benchmarks.peers.account_on_restate:app"

account = restate.VirtualObject("Account")


@account.handler()
async def deposit(ctx: restate.ObjectContext, wanted: dict[str, int]) -> dict[str, int]:
    balance: int = (await ctx.get("balance", type_hint=int) or 0) + wanted["amount"]
    ctx.set("balance", balance)
    return {"balance": balance}


@account.handler()
async def empty(ctx: restate.ObjectContext) -> None:
    return None


app = restate.app([account])


def main(program: str, data: str, address: str, processes: str) -> None:
    """Start both, tell the server of the service, and stay until one of them ends."""
    service = [
        sys.executable,
        "-m",
        "hypercorn",
        "-w",
        processes,
        "-b",
        f"{address}:{SERVICE_PORT}",
        "tests.benchmarks.peers.account_on_restate:app",
    ]
    server = [
        program,
        "--no-logo",
        "--node-name",
        "bench",
        "--listen-mode",
        "tcp",
        "--bind-ip",
        address,
        "--advertised-host",
        address,
    ]
    own = {
        "RESTATE_BASE_DIR": data,
        "RESTATE_BIND_PORT": str(NODE_PORT),
        "RESTATE_ADMIN__BIND_PORT": str(ADMIN_PORT),
        "RESTATE_INGRESS__BIND_PORT": str(INGRESS_PORT),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    started = [subprocess.Popen(service), subprocess.Popen(server, env={**os.environ, **own})]
    _register(address)
    while all(each.poll() is None for each in started):
        time.sleep(0.5)
    raise SystemExit("one of both has ended")


def _register(address: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    body = json.dumps({"uri": f"http://{address}:{SERVICE_PORT}"})
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection(address, ADMIN_PORT, timeout=10)
            asked.request("POST", "/deployments", body, {"Content-Type": "application/json"})
            if asked.getresponse().status in {200, 201}:
                return
        time.sleep(0.2)
    raise SystemExit("Restate does not take the service")


if __name__ == "__main__":
    main(*sys.argv[1:])
