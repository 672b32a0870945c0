"""A component's packages as it carries them: each file compressed by itself, so that a sandbox unpacks what it uses.

What is read late - a module that a function imports, a table, the metadata of a package - costs nobody anything before
that: its bytes lie in memory that all sandboxes share, and that nothing has touched.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path


def write_carried(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what `holdfast._carried` of the SDK reads: `index.json` (path to offset and size) and `bytes`."""
    folder.mkdir()
    index: dict[str, tuple[int, int]] = {}
    offset = 0
    with (folder / "bytes").open("wb") as out:
        for path in sorted(files):
            packed = zlib.compress(files[path])
            index[path] = (offset, len(packed))
            offset += out.write(packed)
    (folder / "index.json").write_text(json.dumps(index))
