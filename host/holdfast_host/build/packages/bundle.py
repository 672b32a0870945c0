"""A component's packages as it carries them: each file compressed by itself, so that a sandbox unpacks what it uses.

What is read late - a module that a function imports, a table, the metadata of a package - costs nobody anything before
that: its bytes lie in memory that all sandboxes share, and that nothing has touched.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path


def write_unpacked(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the same files as they are, for the author's tests, in place of an earlier folder; none where none are.

    `files` come from wheels, whose paths have been checked.
    """
    fresh, old = (folder.with_name(f".{folder.name}.{kind}.{os.getpid()}") for kind in ("new", "old"))
    try:
        for path, content in files.items():
            place = fresh / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            folder.rename(old)
        if files:
            fresh.rename(folder)
    finally:
        for each in (fresh, old):
            shutil.rmtree(each, ignore_errors=True)


def write_carried(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what the SDK's `bundled_packages` reads: `index.json` (path to offset and size) and `bytes`."""
    folder.mkdir()
    index: dict[str, tuple[int, int]] = {}
    offset = 0
    with (folder / "bytes").open("wb") as out:
        for path in sorted(files):
            packed = zlib.compress(files[path])
            index[path] = (offset, len(packed))
            offset += out.write(packed)
    (folder / "index.json").write_text(json.dumps(index))
