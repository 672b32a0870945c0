"""What runs of `make bench` have found, as data: figures, tables and when they were taken; kept as JSON.

A section is measured in one go, so ratios are made inside a section only. Figures have names such as
`deposit/200/32/holdfast/calls_per_s`, by which `targets`, `plots` and the README find them. What was measured on
several kinds of machine stands side by side: a run replaces what was measured on its own kind, and nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("wasmtime", "componentize-py", "aiohttp", "lmdb", "uvloop")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of repetitions, the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        """`median (least-most)`, with as many digits as a reader can use."""
        digits = 0 if self.most >= 100 else 1 if self.most >= 20 else 2
        shown = f"{self.median:,.{digits}f}"
        if self.least == self.most:
            return shown
        return f"{shown} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the columns' names, and rows of text."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """As Markdown, numbers to the right."""
        lines = [self.columns, ["---"] + ["---:"] * (len(self.columns) - 1), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(slots=True)
class Section:
    """One section's results. `quick` marks short runs, whose figures are not to be quoted."""

    name: str
    date: str
    quick: bool
    machine: dict[str, str]
    took_s: float = 0.0
    failure: str = ""
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Spread] = field(default_factory=dict)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Keep a table."""
        table = Table(title, list(columns), [[str(cell) for cell in row] for row in rows])
        assert all(len(row) == len(columns) for row in table.rows), title
        self.tables.append(table)

    def figure(self, name: str, values: Sequence[float]) -> Spread:
        """Keep a figure; its spread over the repetitions."""
        self.figures[name] = found = Spread.of(values)
        return found

    def note(self, text: str) -> None:
        """Keep a sentence about what was left out or looks odd."""
        self.notes.append(text)


@dataclass(slots=True)
class Results:
    """The sections by name, in the order in which they were measured."""

    sections: dict[str, Section] = field(default_factory=dict)

    def find(self, name: str) -> Spread | None:
        """A figure of any section; None where it was not measured."""
        return next((each.figures[name] for each in self.sections.values() if name in each.figures), None)

    def merged(self, newer: Results) -> Results:
        """These with the newer sections in the place of their predecessors."""
        return Results({**self.sections, **newer.sections})


@dataclass(slots=True)
class Machines:
    """What was measured on each kind of machine, by its name, in the order in which they came."""

    results: dict[str, Results] = field(default_factory=dict)

    @classmethod
    def of(cls, *runs: Results) -> Machines:
        """Runs, each on one machine or on several."""
        machines = cls()
        for run in runs:
            machines = machines.merged(run)
        return machines

    def merged(self, newer: Results) -> Machines:
        """These with the newer sections in the place of those that were measured on the same kind of machine."""
        found = dict(self.results)
        for section in newer.sections.values():
            kind = kind_of(section.machine)
            found[kind] = found.get(kind, Results()).merged(Results({section.name: section}))
        return Machines(found)

    def to_json(self) -> str:
        """For `from_json`."""
        sections = [asdict(each) for results in self.results.values() for each in results.sections.values()]
        return json.dumps({"sections": sections}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Machines:
        """What `to_json` wrote."""
        sections = map(_section_of, json.loads(text)["sections"])
        return cls.of(*(Results({each.name: each}) for each in sections))


def kind_of(machine: dict[str, str]) -> str:
    """What machines have in common whose figures may replace one another: the processor."""
    return re.sub(r"\((?:R|TM|C)\)", "", machine["cpu"], flags=re.IGNORECASE).strip()


def _section_of(facts: dict[str, Any]) -> Section:
    tables = [Table(**each) for each in facts.pop("tables")]
    figures = {name: Spread(**each) for name, each in facts.pop("figures").items()}
    return Section(**facts, tables=tables, figures=figures)


def machine() -> dict[str, str]:
    """What the figures are measured on."""
    processor = dict(_processor())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    facts = {
        "cpu": processor.get("model name", platform.machine()),
        "family and model": f"{processor.get('cpu family', '?')}/{processor.get('model', '?')}",
        "caches": _caches(Path("/sys/devices/system/cpu/cpu0/cache")),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib:.0f} GiB",
        "Python": f"{platform.python_version()} ({python_build(str(sysconfig.get_config_var('CONFIG_ARGS') or ''))})",
    }
    return {**facts, **{name: version(name) for name in _PACKAGES}}


def python_build(configured: str) -> str:
    """How an interpreter was built, from the arguments that it was configured with: what its speed depends on."""
    profiled = "PGO" if "--enable-optimizations" in configured else "no PGO"
    linked = "LTO" if re.search(r"--with-lto\b(?!=no)", configured) else "no LTO"
    return f"{platform.python_compiler()}, {profiled}, {linked}"


def _processor() -> Iterator[tuple[str, str]]:
    """The first processor's lines of /proc/cpuinfo."""
    for line in Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _caches(folder: Path) -> str:
    """Of one core, from the nearest; "unknown" where the machine does not say."""
    found = []
    for cache in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((cache / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        found.append(f"L{level}{kind[:1].lower() if kind != 'Unified' else ''} {size}")
    return " + ".join(found) or "unknown"
