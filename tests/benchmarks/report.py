"""Figures as tables on the terminal, and as JSON and plots in `build/bench/`."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 140  # also where the output is no terminal

OUT = Path(__file__).resolve().parents[2] / "build" / "bench"


class Report:
    """Collects the figures of one run."""

    def __init__(self) -> None:
        self._console = Console(width=WIDTH)
        self._figures: dict[str, Any] = {"machine": machine()}

    def note(self, text: str) -> None:
        """One line to who watches."""
        self._console.print(text, style="dim")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table and keep it."""
        shown = Table(title=title, title_justify="left")
        for number, column in enumerate(columns):
            shown.add_column(column, justify="left" if number == 0 else "right")
        for row in rows:
            shown.add_row(*row)
        self._console.print(shown)
        self._figures[title] = [dict(zip(columns, row, strict=True)) for row in rows]

    def write(self) -> Path:
        """Write everything as JSON; the file's path."""
        OUT.mkdir(parents=True, exist_ok=True)
        path = OUT / "bench.json"
        path.write_text(json.dumps(self._figures, indent=2) + "\n")
        return path


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = {name: version(name) for name in ("wasmtime", "componentize-py", "aiohttp", "lmdb", "uvloop")}
    return {"cpu": model, "cores": str(os.cpu_count()), "python": platform.python_version(), **versions}


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """`median (least-most)`, for a table."""
    low, high = min(values), max(values)
    if len(values) == 1:
        return f"{low:.0f}" if low >= 100 else f"{low:.2f}"
    digits = 0 if high >= 100 else 2
    return f"{middle(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
