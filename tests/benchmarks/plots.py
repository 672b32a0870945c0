"""The plots of the README: small SVG files without a background, readable on white and on black."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.results import Results, Spread
from tests.benchmarks.stages import ROLES, stages_of

INK: Final = "#7d8590"  # contrast above 3.5 on white and on GitHub's black
COLOURS: Final = {"holdfast": "#e8590c", "workerd": "#4c8dd6", "C by hand": "#8a8f98"}
_FRONT_COLOURS: Final = ("#1864ab", "#1c7ed6", "#4dabf7", "#74c0fc", "#a5d8ff", "#339af0", "#22b8cf")
_WORKER_COLOURS: Final = (
    "#d9480f", "#e8590c", "#f76707", "#ff922b", "#ffa94d", "#ffc078", "#fab005", "#fcc419", "#e67700", "#ff8787",
    "#fa5252",
)  # fmt: skip
_CLIENTS: Final = (1, 32, 256)
_APART: Final = 0.18
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "holdfast",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what the results have figures for; the files.

    Raises:
        ImportError: matplotlib is not installed: pip install -e '.[bench]'.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"deposit.svg": _deposits, "budget.svg": _budget, "flat.svg": _flat}
    return [path for name, plot in plots.items() if (path := folder / name) and plot(results, path)]


def _deposits(results: Results, path: Path) -> bool:
    """Durable deposits a second, and their p99, by clients."""
    if results.find("deposit/200/32/holdfast/calls_per_s") is None:
        return False
    with _figure(path, "durable deposit, 200 names", 2) as axes:
        _points(axes[0], results, "calls_per_s", "calls/s")
        _points(axes[1], results, "p99_ms", "p99, ms")
        axes[0].legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=len(COLOURS))
    return True


def _points(axis: Any, results: Results, what: str, label: str) -> None:
    """Medians with whiskers from least to most; on a logarithmic scale, where a bar would have no foot."""
    for place, (name, colour) in enumerate(COLOURS.items()):
        found = [results.find(f"deposit/200/{clients}/{name}/{what}") for clients in _CLIENTS]
        there = [(number, each) for number, each in enumerate(found) if each is not None]
        axis.errorbar(
            [number + (place - (len(COLOURS) - 1) / 2) * _APART for number, _ in there],
            [each.median for _, each in there],
            _whiskers([each for _, each in there]),
            fmt="o",
            color=colour,
            label=name,
        )
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.yaxis.set_minor_formatter("")
    axis.grid(axis="y", color=INK, alpha=0.25, linewidth=0.5)
    axis.set_xticks(range(len(_CLIENTS)), [f"{clients} client{'s' if clients > 1 else ''}" for clients in _CLIENTS])
    axis.set_xlim(-0.5, len(_CLIENTS) - 0.5)
    axis.set_ylabel(label)


def _budget(results: Results, path: Path) -> bool:
    """Each process's stages of one call as a stacked bar."""
    if results.find("budget/deposit/front/cpu_us") is None:
        return False
    with _figure(path, "one durable deposit: microseconds of CPU by stage", 1) as axes:
        axis = axes[0]
        for row, (role, colours) in enumerate(zip(ROLES, (_FRONT_COLOURS, _WORKER_COLOURS), strict=True)):
            left = 0.0
            for number, stage in enumerate(stages_of(role)):
                found = results.find(f"budget/deposit/{role}/{stage}")
                if found is None or not found.median:
                    continue
                axis.barh(-row, found.median, 0.7, left, color=colours[number % len(colours)], label=f"{role}: {stage}")
                left += found.median
        axis.set_yticks([0, -1], ["front", "worker"])
        axis.set_xlabel("us")
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.25), ncols=3, fontsize=7.5)
    return True


def _flat(results: Results, path: Path) -> bool:
    """The CPU time of a call beside what lies on disk."""
    kinds = {
        "few": "100 instances,\n1 key each",
        "100000_instances": "100,000 instances,\n1 key each",
        "1000_keys": "100 instances,\n1,000 keys each",
    }
    found = [results.find(f"flat/{kind}/cpu_us_per_call") for kind in kinds]
    there = [each for each in found if each is not None]
    if len(there) < len(kinds):
        return False
    with _figure(path, "CPU time of a durable deposit beside what lies on disk", 1) as axes:
        medians = [each.median for each in there]
        axes[0].bar(range(len(kinds)), medians, 0.5, color=COLOURS["holdfast"])
        axes[0].errorbar(range(len(kinds)), medians, _whiskers(there), fmt="none", ecolor=INK, elinewidth=0.8)
        axes[0].set_xticks(range(len(kinds)), list(kinds.values()))
        axes[0].set_ylabel("us/call")
    return True


def _whiskers(spreads: list[Spread]) -> list[list[float]]:
    """Distances below and above the median, as errorbar takes them."""
    return [[each.median - each.least for each in spreads], [each.most - each.median for each in spreads]]


@contextmanager
def _figure(path: Path, title: str, columns: int) -> Iterator[Any]:
    import matplotlib as mpl  # here: only who draws needs it

    mpl.use("svg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(1, columns, figsize=(7.6, 2.9), squeeze=False)
        figure.suptitle(title, fontsize=10)
        yield axes[0]
        figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
