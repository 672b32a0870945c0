"""Sources that a development component is given, in plain Python."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import pytest

from holdfast._component.development import REBUILD, DevelopmentGuest, MissingModules
from holdfast._describe import Component
from holdfast._host_imports import Err
from holdfast._log_capture import Output
from tests.unit.guest.memory_host import host_imports

APP = """from holdfast import StatefulActor
from part import VALUE

class Thing(StatefulActor):
    def get(self):
        return VALUE
"""


def lazy_imports(tree: ast.Module, module: ModuleType) -> Iterable[str]:
    return (alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names)


@pytest.fixture
def guest() -> Iterator[DevelopmentGuest]:
    """A development guest beside the modules that this Python has; those of its sources are forgotten afterwards."""
    missing = MissingModules()
    missing.names |= {"known_to_be_missing", "annotationlib"}  # the second one by the SDK itself, on an older Python
    before, finders = set(sys.modules), list(sys.meta_path)
    built = Component.of_module(module_of("from holdfast import StatefulActor\nclass Built(StatefulActor): pass\n"))
    sys.meta_path += [missing, Nothing()]
    imports = host_imports()
    yield DevelopmentGuest(built, imports, Output(), ["app", "part"], missing, lazy_imports)
    sys.meta_path[:] = finders
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Nothing:
    """The last finder of a component."""

    def find_spec(self, *_: object) -> None:
        """Nothing is found."""


def module_of(text: str) -> ModuleType:
    module = ModuleType("built")
    exec(text, module.__dict__)
    return module


def activate(guest: DevelopmentGuest, app: str = APP, actor_type: str = "", **files: str) -> None:
    sources = {"main": "app", "root": "src", "files": {"app.py": app, "part.py": "VALUE = 1\n", **files}}
    guest.activate(
        actor_type, "a" if actor_type else "", json.dumps({"bindings": {}, "variables": {}, "sources": sources})
    )


def refusal(guest: DevelopmentGuest, app: str) -> dict[str, Any]:
    with pytest.raises(Err) as caught:
        activate(guest, app)
    facts: dict[str, Any] = json.loads(caught.value.value)
    return facts


def test_without_sources_it_is_what_it_was_built_from(guest: DevelopmentGuest) -> None:
    described = json.loads(guest.describe())

    assert described["development"] is True
    assert [each["type"] for each in described["actors"]] == ["Built"]


def test_with_sources_it_is_what_they_say(guest: DevelopmentGuest) -> None:
    activate(guest, actor_type="Thing")

    assert [each["type"] for each in json.loads(guest.describe())["actors"]] == ["Thing"]
    assert guest.call("get", "", False, False) == "1"


def test_a_traceback_shows_the_authors_file_line_and_text(guest: DevelopmentGuest) -> None:
    activate(guest, APP.replace("return VALUE", "return VALUE / 0"), actor_type="Thing")
    with pytest.raises(Err) as caught:
        guest.call("get", "", False, False)

    trace = json.loads(caught.value.value)["traceback"]
    assert 'File "src/app.py", line 6, in get' in trace
    assert "return VALUE / 0" in trace


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("x = (\n", "src/app.py:1: syntax error in 'x = (': '(' was never closed"),
        ("1 / 0\n", "the module cannot be imported: ZeroDivisionError: division by zero"),
        ("x = 1\n", "src/app.py: it defines neither an actor class"),
        (APP + "    def name(self): pass\n", "src/app.py:7: the method Thing.name hides"),
    ],
)
def test_what_is_wrong_with_the_sources_is_said_with_its_place(guest: DevelopmentGuest, app: str, message: str) -> None:
    facts = refusal(guest, app)

    assert facts["message"].startswith(message)
    assert (facts["name"], facts["code"]) == ("ActorInitError", None)


@pytest.mark.parametrize(
    "app",
    [
        "import not_in_here\n" + APP,
        APP + "\n\ndef later():\n    import not_in_here\n",
        "try:\n    import not_in_here\nexcept ImportError:\n    pass\n" + APP,
        "open('/not/there')\n" + APP,
    ],
    ids=["at the top", "in a function", "in a try", "a file"],
)
def test_sources_that_need_another_build_say_so(guest: DevelopmentGuest, app: str) -> None:
    assert refusal(guest, app)["code"] == REBUILD


def test_what_was_missing_at_the_build_needs_no_other_one(guest: DevelopmentGuest) -> None:
    activate(guest, "try:\n    import known_to_be_missing\nexcept ImportError:\n    pass\n" + APP)

    assert refusal(guest, "import known_to_be_missing\n" + APP)["code"] is None


def test_packages_and_relative_imports_are_found(guest: DevelopmentGuest) -> None:
    app = APP.replace("from part", "from pack.inner")
    activate(
        guest,
        app,
        **{"pack/__init__.py": "", "pack/inner.py": "from . import deep\nVALUE = deep.X\n", "pack/deep.py": "X = 3\n"},
    )

    assert json.loads(guest.describe())["actors"][0]["type"] == "Thing"
