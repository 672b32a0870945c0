"""Source files under the paths that their author knows."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any, ClassVar, Final

PACKAGES: Final = "/site-packages"  # where the packages are found that a component carries, on no disk


class ShownLoader(SourceFileLoader):
    """Loads a source file, but calls it in code objects and tracebacks what its author does."""

    reads_again: ClassVar = False  # whether the source can be read in a sandbox, too

    def __init__(self, fullname: str, path: str, shown_path: str) -> None:
        super().__init__(fullname, path)
        self.shown_path = shown_path

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        return super().source_to_code(data, self.shown_path)
