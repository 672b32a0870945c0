"""`make demo`, once the example actor is built: start a host, deploy to it, say what to try, serve until Ctrl-C.

Ctrl-C ends everything with exit 0. For that this script takes the terminal for its own process group while it runs:
`make` would otherwise get the same Ctrl-C and end with an error of its own. The host runs in a group of its own and
hears SIGINT and SIGTERM from this script alone, so that one Ctrl-C is one signal to it, with a terminal and without.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).resolve().parent.parent
ACCOUNT = PROJECT / "examples" / "account"
HOLDFAST = str(Path(sys.executable).parent / "holdfast")

TO_TRY = """
Try it in another terminal:

  H={url}/v1/actors/Account
  curl -sS -X POST $H/alice/deposit -d '{{"amount":100}}'    # {{"balance":100}}
  curl -sS -X POST $H/alice/debit   -d '[30]'              # {{"ok":true,"balance":70}}
  curl -sS -X POST $H/alice/debit   -d '{{"amount":1000}}'   # {{"ok":false,"balance":70}}
  curl -sS -X POST $H/bob/deposit   -d '{{"amount":5}}'      # {{"balance":5}}
  curl -sS -X POST $H/alice/balance                        # {{"balance":70}}
  {holdfast} call{host} Account bob balance{pad}# {{"balance": 5}}

The balances outlive this host: they are in {data}. Ctrl-C ends it.
"""


def main() -> int:
    """Run the demo; the exit code is the host's own, 0 after Ctrl-C."""
    parser = argparse.ArgumentParser(description="Start a host, deploy examples/account, serve until Ctrl-C.")
    parser.add_argument("--listen", default="127.0.0.1:8787")
    parser.add_argument("--data", default=".holdfast")
    parser.add_argument("component", help="examples/account, built")
    options = parser.parse_args()
    terminal = take_terminal()
    try:
        return serve(options.listen, options.data, options.component)
    finally:
        if terminal is not None:
            os.tcsetpgrp(0, terminal)


def take_terminal() -> int | None:
    """Become the terminal's foreground group; the group that was it, None where there is no terminal to take."""
    if not os.isatty(0) or os.tcgetpgrp(0) != os.getpgrp():
        return None
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background group that takes the terminal is stopped otherwise
    before = os.getpgrp()
    if before != os.getpid():
        os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    return before


def serve(listen: str, data: str, component: str) -> int:
    """Start the host, deploy, wait for its end."""
    command = [HOLDFAST, "serve", "--listen", listen, "--data", data]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        host.send_signal(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    for line in host.stdout or ():
        print(line, end="", flush=True)
        if not stopping and (ready := re.search(r"https?://\S+", line)):
            url = ready.group().rstrip(".,/")
            deployed = subprocess.call([HOLDFAST, "deploy", "--host", url, "--component", component, str(ACCOUNT)])
            if deployed != 0 and not stopping:
                host.send_signal(signal.SIGTERM)
                host.wait()
                return deployed
            if not stopping:
                say_what_to_try(url, data)
    return host.wait()


def say_what_to_try(url: str, data: str) -> None:
    """The lines of the quick start, for this host."""
    holdfast = os.path.relpath(HOLDFAST)
    host = "" if url == "http://127.0.0.1:8787" else f" --host {url}"
    pad = " " * max(2, 57 - len(f"{holdfast} call{host} Account bob balance"))
    print(TO_TRY.format(url=url, holdfast=holdfast, host=host, pad=pad, data=data), flush=True)


if __name__ == "__main__":
    sys.exit(main())
