"""What packages find in a component after it has been built: modules, files, what they say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast_host.build.project import build_for_development
from tests.harness.wheels import write_wheel
from tests.unit.build import joint
from tests.unit.build.test_build import MANIFEST, project
from tests.unit.guest.plain_host import PlainHost, quick_engine

PACKAGE: dict[str, str | bytes] = {
    "late/__init__.py": """
import importlib, os
HERE = os.path.dirname(__file__)

def inner(name):
    return importlib.import_module(f"late.regions.{name}").NAME

def relative():
    from . import other
    return other.VALUE

def library():
    import colorsys, gzip, tarfile, wave, xml.etree.ElementTree
    return [each.__name__ for each in (gzip, wave)]

def beside(name):
    with open(os.path.join(HERE, "data", name)) as file:
        return file.read()
""",
    "late/other.py": "VALUE = 'other'\n",
    "late/broken.py": "def fails():\n    return 1 / 0  # here\n",
    "late/regions/__init__.py": "",
    "late/regions/de.py": "NAME = 'de'\n",
    "late/regions/fr.py": "NAME = 'fr'\n",
    "late/data/table.txt": "one\r\ntwo ä\n",
    "late/data/deep/more.bin": b"\0\xff",
    "spread/part.py": "PART = 1\n",  # no __init__.py: a namespace, to which another package adds
    "late-1.0.dist-info/entry_points.txt": "[late.plugins]\nfirst = late.other:VALUE\n",
}

NEEDS = ["./late-1.0-py3-none-any.whl", "./more-2.0-py3-none-any.whl"]


def write_packages(directory: Path) -> None:
    """The wheels of what is needed: one package, and one that adds to it."""
    write_wheel(directory, "late", PACKAGE, needs=["more>=2"])
    write_wheel(directory, "more", {"spread/further.py": "PART = 2\n"}, version="2.0")


APP = """
import glob, importlib.metadata, importlib.resources, io, os, pathlib, pkgutil
import late
from holdfast import StatefulActor

class Late(StatefulActor):
    def imports(self):
        import spread.further, spread.part
        both = spread.part.PART + spread.further.PART
        return [late.inner("de"), late.inner("fr"), late.relative(), late.library(), both]

    def reads(self):
        resource = importlib.resources.files("late").joinpath("data/table.txt")
        with importlib.resources.as_file(resource) as path:
            as_file = path.read_text("utf-8")
        texts = [late.beside("table.txt"), resource.read_text("utf-8"), as_file]
        more = "data/deep/more.bin"
        raw = [pkgutil.get_data("late", more), (pathlib.Path(late.HERE) / more).read_bytes()]
        return [sorted(set(texts)), raw]

    def looks(self):
        data = pathlib.Path(late.HERE, "data")
        return [
            sorted(os.listdir(data)), sorted(each.name for each in data.iterdir()), (data / "table.txt").stat().st_size,
            [data.is_dir(), (data / "deep").is_dir(), (data / "table.txt").is_file(), (data / "not").exists()],
            sorted(os.path.basename(each) for each in glob.glob(f"{data}/**", recursive=True)),
            sorted(name for _, name, _ in pkgutil.iter_modules(late.__path__)),
            [len(files) for _, _, files in os.walk(data)],
        ]

    def tells(self):
        metadata = importlib.metadata
        [plugin] = metadata.entry_points(group="late.plugins")
        names = sorted(each.name for each in metadata.distributions())
        files = metadata.files("late")
        return [metadata.version("late"), metadata.requires("late"), plugin.load(), names, len(files) > 8]

    def refuses(self):
        found = []
        for attempt in (
            lambda: open(f"{late.HERE}/data/table.txt", "w"), lambda: open(f"{late.HERE}/not"),
            lambda: open(f"{late.HERE}/data"), lambda: open("/etc/passwd"), lambda: os.listdir("/python"),
            lambda: importlib.metadata.version("not"), lambda: late.inner("it"),
        ):
            try:
                attempt()
                found.append("done")
            except Exception as error:
                found.append(type(error).__name__)
        return found

    def fails(self):
        import late.broken
        late.broken.fails()
"""


@pytest.mark.slow
def test_packages_find_late_what_is_theirs() -> None:
    sandbox = joint.sandbox("Late")

    def call(method: str) -> Any:
        return sandbox.call(method)

    imported = call("imports")
    assert imported == ["de", "fr", "other", ["gzip", "wave"], 3], imported
    texts, raw = call("reads")
    assert texts == ["one\ntwo ä\n"]
    assert raw[0] == raw[1]
    assert call("looks") == [
        ["deep", "table.txt"],
        ["deep", "table.txt"],
        12,
        [True, True, True, False],
        ["", "deep", "more.bin", "table.txt"],
        ["broken", "other", "regions"],
        [1, 1],
    ]
    *told, names, has_files = call("tells")
    assert (told, has_files) == (["1.0", ["more>=2"], "other"], True)
    assert {"late", "more", "dicebox"} <= set(names)
    refused = call("refuses")
    assert refused[:3] == ["PermissionError", "FileNotFoundError", "IsADirectoryError"]
    assert "done" not in refused[3:]
    assert refused[5:] == ["PackageNotFoundError", "ModuleNotFoundError"]
    traceback = call("fails")["traceback"]
    assert 'File "site-packages/late/broken.py", line 2, in fails' in traceback
    assert "return 1 / 0  # here" in traceback


@pytest.mark.slow
def test_sources_given_to_a_development_component_go_before_packages_as_they_do_in_a_build(tmp_path: Path) -> None:
    first = "import tools, late.other\nfrom holdfast import StatefulActor\n\nclass Trial(StatefulActor):\n"
    method = "    def say(self):\n        import late.regions.de\n        return [tools.WHOSE, late.regions.de.NAME]\n"
    directory = project(
        tmp_path / "p",
        first + method,
        f'{MANIFEST}dependencies = ["./late-1.0-py3-none-any.whl"]\n',
        tools="WHOSE = 1\n",
    )
    write_wheel(directory, "late", {**PACKAGE, "tools.py": "WHOSE = 'the package'\n"})

    host = PlainHost(quick_engine(), build_for_development(directory).path.read_bytes())
    files = {"app.py": first + method, "tools.py": "WHOSE = 2\n"}
    changed = host.sandbox("Trial", "t", sources={"main": "app", "root": "src", "files": files})

    assert host.sandbox("Trial", "t").call("say") == [1, "de"]
    assert changed.call("say") == [2, "de"]
