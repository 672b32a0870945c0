"""Templates of `holdfast new`: examples of the project, whose files they are, under another name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import holdfast_host
from holdfast_host.build.errors import BuildError
from holdfast_host.core.manifest import COMPATIBILITY_DATE, MANIFEST_FILE

TEMPLATES: Final = {
    "chat": "rooms with history, presence and a page",
    "agent": "a session with a language model that calls tools",
    "api": "a REST API over actors",
}
PARTS: Final = (MANIFEST_FILE, "README.md", "model.py", "src", "tests")  # of an example: what is there of these
_DOCS: Final = "https://github.com/holdfast/holdfast/blob/main/docs/"
_DATE: Final = re.compile(r'(?m)^compatibility_date = "[^"]*"')


def template_files(template: str, name: str) -> dict[str, str]:
    """The files of a project `name` that begins as this template, by their paths.

    Raises:
        BuildError: there is no such template.
    """
    if template not in TEMPLATES:
        raise BuildError(f"there is no template {template!r}: there are {', '.join(TEMPLATES)}")
    folder = _folder(template)
    found = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in _paths(folder)}
    found[MANIFEST_FILE] = _renamed_manifest(found[MANIFEST_FILE], template, name)
    found["README.md"] = _renamed_readme(found["README.md"], template, name)
    return found


def _folder(template: str) -> Path:
    """Inside an installed package, or the example itself in a checkout."""
    package = Path(holdfast_host.__file__).parent
    installed = package / "templates" / template
    return installed if installed.is_dir() else package.parent.parent / "examples" / template


def _paths(folder: Path) -> list[Path]:
    parts = [folder / each for each in PARTS]
    files = [each for part in parts if part.exists() for each in ([part] if part.is_file() else part.rglob("*"))]
    return sorted(each for each in files if each.is_file() and "__pycache__" not in each.parts)


def _renamed_manifest(text: str, template: str, name: str) -> str:
    text = text.replace(f'name = "{template}"', f'name = "{name}"', 1)
    return _DATE.sub(f'compatibility_date = "{COMPATIBILITY_DATE.isoformat()}"', text, count=1)


def _renamed_readme(text: str, template: str, name: str) -> str:
    """The same of a project that stands alone; what it says of tests of the host is left out."""
    text = "\n\n".join(each for each in text.split("\n\n") if "tests/acceptance" not in each)
    text = text.replace(f"# {template}\n", f"# {name}\n", 1).replace("../../docs/", _DOCS)
    text = text.replace(f"/fn/{template}/", f"/fn/{name}/").replace(f"{template}.localhost", f"{name}.localhost")
    return text.replace(f"examples/{template}/", "").replace(f" examples/{template}", "").rstrip() + "\n"
