"""Wheels made by hand, for projects of tests."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_wheel(
    directory: Path,
    name: str,
    files: Mapping[str, str | bytes],
    tag: str = "py3-none-any",
    version: str = "1.0",
    needs: Iterable[str] = (),
) -> Path:
    """A wheel with these files, which needs these requirements."""
    path = directory / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {each}\n" for each in needs)
    facts = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in facts.items():
            archive.writestr(each, content)
        record = "".join(f"{each},,\n" for each in (*facts, f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", record)
    return path
