"""A new project: a small actor, a fetch handler, a test that passes, and what keeps builds out of version control.

Or a whole example, under a name of its own: see `templates`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from holdfast_host.build.bindings import BINDINGS_FILE, BoundType, render_bindings
from holdfast_host.build.errors import BuildError
from holdfast_host.build.templates import template_files
from holdfast_host.core.ids import check_function_name
from holdfast_host.core.manifest import COMPATIBILITY_DATE, MANIFEST_FILE

_MANIFEST: Final = """\
name = "{name}"
main = "src/app.py"                 # exports the actor classes and fetch
compatibility_date = "{today}"
check_arguments = true              # arguments fit their annotations, or the caller gets 400

[[actors]]
binding = "COUNTER"                 # the property on env
type = "Counter"                    # the class

# [secrets]
# names = ["API_KEY"]               # env.API_KEY, which `holdfast secret set API_KEY` gives the host

# [env.staging]                     # what `holdfast deploy --env staging` deploys: other values for what stands above
# name = "{name}-staging"
# limits.method_s = 5
"""

_APP: Final = '''\
"""A counter for each name, and the way to it over HTTP."""

from holdfast import Request, Response, StatefulActor

from bindings import Env


class Counter(StatefulActor):
    """One count. Its methods run one at a time, and what they wrote is on disk before they answer."""

    def increment(self, by: int = 1) -> dict[str, int]:
        """Add to the count; returns the new one."""
        value = self.ctx.storage.get("value", 0) + by
        self.ctx.storage.put("value", value)
        return {"value": value}

    def value(self) -> dict[str, int]:
        """The count."""
        return {"value": self.ctx.storage.get("value", 0)}


def fetch(request: Request, env: Env) -> Response:
    """`POST /counters/NAME/increment` and `GET /counters/NAME`."""
    match request.method, request.path.strip("/").split("/"):
        case "POST", ["counters", name, "increment"] if name:
            return Response.json(env.COUNTER.id_from_name(name).increment())
        case "GET", ["counters", name] if name:
            return Response.json(env.COUNTER.id_from_name(name).value())
    return Response("not found\\n", status=404)
'''

_TEST: Final = '''\
"""Runs with plain pytest: no host, no network. The fixture `host` is this project, in memory."""

import json

from holdfast import Request
from holdfast.testing import LocalHost


def test_a_counter_keeps_its_count_across_a_crash(host: LocalHost) -> None:
    counter = host.env.COUNTER.id_from_name("visits")
    counter.increment()
    counter.increment(by=2)
    host.crash()

    assert counter.value() == {"value": 3}


def test_counters_are_reached_over_http(host: LocalHost) -> None:
    posted = host.fetch(Request("http://localhost/counters/visits/increment", method="POST"))
    read = host.fetch("http://localhost/counters/visits")

    assert json.loads(posted.body) == json.loads(read.body) == {"value": 1}
    assert host.fetch("http://localhost/elsewhere").status == 404
'''

_README: Final = """\
# {name}

A counter for each name, as a [Holdfast](https://github.com/holdfast/holdfast) function.

```bash
holdfast dev                                                   # runs it; every save is live
curl -X POST http://localhost:8787/counters/visits/increment   # {{"value":1}}
curl http://localhost:8787/counters/visits                     # {{"value":1}}
```

| what | where |
| --- | --- |
| the actor and the fetch handler | `src/app.py` |
| what is bound to `env` | `holdfast.toml` |
| types of `env`, written by `holdfast types` | `src/bindings.py` |
| the test: `pytest` | `tests/test_app.py` |

`holdfast deploy` ships it to the host that `HOLDFAST_HOST` names.
"""

_GITIGNORE: Final = """\
/.holdfast/
/.holdfast-functions.json
/build/
__pycache__/
.mypy_cache/
.pytest_cache/
.venv/
"""

_COUNTER: Final = BoundType(
    "COUNTER",
    "Counter",
    (
        {
            "name": "increment",
            "signature": "(by: int = 1) -> dict[str, int]",
            "doc": "Add to the count; returns the new one.",
        },
        {"name": "value", "signature": "() -> dict[str, int]", "doc": "The count."},
    ),
)


def make_project(parent: Path, name: str, template: str | None = None) -> Path:
    """Write a new project into `parent/NAME`; the paths of its files are relative to that.

    Args:
        parent: where.
        name: the function's.
        template: what it begins as; None for a counter.

    Raises:
        InvalidNameError: no function can have that name.
        BuildError: there is no such template, something is there already, or nothing can be written there.
    """
    check_function_name(name)
    project = parent / name
    files = _counter(name) if template is None else template_files(template, name)
    files[".gitignore"] = _GITIGNORE
    try:
        if project.exists() and (not project.is_dir() or any(project.iterdir())):
            raise BuildError(f"{project} is there already, and not empty: choose another name, or remove it")
        for path, text in files.items():
            target = project / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    except OSError as error:
        raise BuildError(f"{project} cannot be written: {error.strerror}") from None
    return project


def _counter(name: str) -> dict[str, str]:
    return {
        MANIFEST_FILE: _MANIFEST.format(name=name, today=COMPATIBILITY_DATE.isoformat()),
        "src/app.py": _APP,
        f"src/{BINDINGS_FILE}": render_bindings([_COUNTER], []),
        "tests/test_app.py": _TEST,
        "README.md": _README.format(name=name),
    }
