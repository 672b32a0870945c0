"""The agent example on a real host: its README from the command line, and its page while things die."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness import components
from tests.harness.browser import chromium
from tests.harness.components import EXAMPLES, shared_compiles
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.projects import free_port

AGENT = EXAMPLES / "agent"
PORT = "9100"  # that the example says; a test takes one that is free
ANSWERED = 'until [ "$(curl -sS -X POST $H/v1/actors/Session/ada/answering)" = false ]; do sleep 0.1; done'
SAID = "[...document.querySelectorAll('#said > div')].map((line) => [line.className, line.textContent])"
WORDS = [f"word{number}" for number in range(80)]  # four seconds of the model

pytestmark = pytest.mark.slow


@contextmanager
def model(port: str) -> Iterator[None]:
    """The model that pretends."""
    process = subprocess.Popen([sys.executable, str(AGENT / "model.py"), port], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def host_for(data: Path, port: str) -> Iterator[HostProcess]:
    """A host that may ask the model."""
    asks = ("--outbound", f"http://127.0.0.1:{port}", "--outbound-private", "127.0.0.1")
    with model(port), HostProcess(data, "--workers", "1", *asks) as host:
        yield host


def at_port(folder: Path, port: str) -> Path:
    """The example, with its model at that port."""
    example = folder / "examples" / "agent"
    shutil.copytree(AGENT, example, ignore=shutil.ignore_patterns("build", "__pycache__"))
    manifest = example / "holdfast.toml"
    manifest.write_text(manifest.read_text().replace(PORT, port))
    return example


def test_the_agent_example_prints_what_its_readme_says(tmp_path: Path) -> None:
    port = str(free_port())
    readme = (at_port(tmp_path, port) / "README.md").read_text()
    [script] = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    begins, ends = f"python examples/agent/model.py {PORT} &\n", "kill %1\n"
    assert script.startswith(begins)
    assert script.endswith(ends)
    script = script.removeprefix(begins).removesuffix(ends).replace("sleep 2", ANSWERED)
    with host_for(tmp_path / "data", port) as host:
        path = f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "HOLDFAST_HOST": host.url}
        with shared_compiles(host.data):
            done = subprocess.run(
                ["bash", "-ec", script.replace("http://127.0.0.1:8787", host.url)],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr

    printed, _, transcript = done.stdout[done.stdout.index('{"messages"') :].partition("false")
    wanted = [line.rpartition(" # ")[2] for line in script.splitlines() if " # " in line]
    assert [*printed.replace("}", "}\n").split(), "false"] == wanted
    assert said(transcript) == [
        "user: hello there", "You said: hello there", "done: answered",
        "user: remember tea: green, no sugar", 'tool: {"tool":"remember","result":"noted"}', "The tool says: noted",
        "done: answered",
        "user: recall tea", 'tool: {"tool":"recall","result":"green, no sugar"}', "The tool says: green, no sugar",
        "done: answered",
    ]  # fmt: skip


def said(transcript: str) -> list[str]:
    """The lines of a transcript: the model's words as one, the rest by name."""
    lines: list[str] = []
    words = ""
    for event in transcript.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
        if "data" not in fields:
            continue  # how long to wait before one comes again
        if "event" not in fields:
            if fields["data"] != "[DONE]":
                words += json.loads(fields["data"])["choices"][0]["delta"].get("content", "")
            continue
        if words:
            lines.append(words)
            words = ""
        lines.append(f"{fields['event']}: {fields['data']}")
    return lines


@pytest.mark.skipif(shutil.which("chromium") is None, reason="`make apt` installs chromium")
def test_a_page_shows_every_word_once_though_worker_and_front_die_while_the_model_speaks(tmp_path: Path) -> None:
    port = str(free_port())
    example = at_port(tmp_path, port)
    with host_for(tmp_path / "data", port) as host, chromium(tmp_path / "chromium") as browser:
        deploy(host, replace(components.built(AGENT), manifest=example / "holdfast.toml"))
        page = browser.open(f"http://agent.localhost:{urlsplit(host.url).port}/#ada")
        page.until("document.forms.length === 1 && document.readyState === 'complete'")
        text = " ".join(WORDS)
        page.run(f"document.forms[0].text.value = {json.dumps(text)}; document.forms[0].requestSubmit()")
        for process, word in (("worker", "word10 "), ("front", "word40 ")):
            page.until(f"({SAID})[1]?.[1].includes('{word}') ?? false")
            host.kill(process)
        page.until(f"({SAID})[1]?.[1].endsWith('word79')")
        deadline = time.monotonic() + 20
        with host.caller() as caller:
            while caller.value("Session", "ada", "answering"):
                assert time.monotonic() < deadline
                time.sleep(0.05)

        assert page.run(SAID) == [["user", text], ["model", f"You said: {text}"]]
