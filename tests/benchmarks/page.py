"""The results as Markdown: a page of all tables, and the section of the README, which is generated between markers.

Several kinds of machine stand side by side on the page; the README quotes the worst of them first, and the plots are
of that one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks import targets
from tests.benchmarks.budget import BEFORE, NOW
from tests.benchmarks.results import Machines, Results, Section, Table
from tests.benchmarks.stages import ROLES, stages_of

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = PROJECT / "docs" / "bench"
RESULTS: Final = FOLDER / "results.json"
PAGE: Final = FOLDER / "results.md"
README: Final = PROJECT / "README.md"
BEGIN: Final = "<!-- make bench WRITE=1 writes from here -->\n"
END: Final = "<!-- to here -->\n"
NOTHING: Final = "No figures are kept yet: `make bench WRITE=1` measures, and writes them here.\n"
_SHOWN_US: Final = 0.05
_PLOTS: Final = {
    "deposit.svg": "durable deposits a second and their p99, by clients",
    "budget.svg": "where the CPU time of one deposit goes",
    "flat.svg": "the CPU time of a deposit beside what lies on disk",
}
# What the README shows: enough to know what to expect, by the keys of the targets.
_HEADLINES: Final = (
    "deposit/200/32/workerd/ratio",
    "deposit/200/32/workerd/p99_ratio",
    "deposit/1/32/workerd/ratio",
    "deposit/200/32/C by hand/ratio",
    "first_call/p50_ms",
)


def load(path: Path) -> Machines:
    """Results that were kept; empty where there are none."""
    return Machines.from_json(path.read_text()) if path.exists() else Machines()


def results_page(machines: Machines) -> str:
    """All tables: the targets on all kinds of machine, then kind by kind."""
    parts = ["# Measurements", _provenance(machines), *_plots(plotted(machines), ""), "## Targets", _targets(machines)]
    for kind, results in machines.results.items():
        parts.append(f"## On {kind}")
        budget = budget_table(results)
        if budget is not None:
            parts += ["### The budget of one call", budget.markdown()]
        for section in results.sections.values():
            parts += [f"### {section.name}", *_remarks(section)]
            for table in section.tables:
                parts += [f"**{table.title}**", table.markdown()]
    return "\n\n".join(parts) + "\n"


def readme_section(machines: Machines) -> str:
    """What stands between the markers."""
    if not machines.results:
        return NOTHING
    rows = [each.short_row(machines.results) for each in targets.TARGETS if each.figure in _HEADLINES]
    shown = Table("targets", ["target", "wanted", "seen, the worst first", ""], rows).markdown()
    return "\n\n".join([*_plots(plotted(machines), "docs/bench/")[:1], shown, _provenance(machines)]) + "\n"


def plotted(machines: Machines) -> Results:
    """What the plots show: the machine on which the first headline was worst."""
    [headline] = [each for each in targets.TARGETS if each.figure == _HEADLINES[0]]
    worst = [kind for kind, _ in headline.worst_first(machines.results)]
    return machines.results[worst[0]] if worst else next(iter(machines.results.values()), Results())


def with_section(readme: str, section: str) -> str:
    """The README with another section between its markers."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    assert begin, f"README.md has lost the line {BEGIN!r}"
    assert end, f"README.md has lost the line {END!r}"
    return f"{head}{BEGIN}\n{section}\n{END}{tail}"


def budget_table(results: Results) -> Table | None:
    """Microseconds of CPU by stage, of a deposit and an empty call; beside those of an earlier commit."""
    there = [
        (label, when)
        for label, when in (("before", BEFORE), ("now", NOW))
        if results.find(f"{when}/deposit/front/cpu_us") is not None
    ]
    if not there:
        return None
    asked = [(method, label, when) for method in ("deposit", "empty") for label, when in there]
    columns = [f"{method}, {label}" if len(there) > 1 else method for method, label, _ in asked]
    rows = []
    for role in ROLES:
        for stage in [*stages_of(role), "cpu_us"]:
            found = [results.find(f"{when}/{method}/{role}/{stage}") for method, _, when in asked]
            if any(each is not None and each.median >= _SHOWN_US for each in found):
                label = f"**{role}, all**" if stage == "cpu_us" else f"{role}: {stage}"
                rows.append([label, *("" if each is None else f"{each.median:.1f}" for each in found)])
    return Table("the budget of one call, microseconds of CPU", ["stage", *columns], rows)


def _provenance(machines: Machines) -> str:
    """Machines, dates and versions, and what a reader has to know of them."""
    sections = [each for results in machines.results.values() for each in results.sections.values()]
    told = []
    for results in machines.results.values():
        dates = [each.date for each in results.sections.values()]
        facts = dict.fromkeys(
            ", ".join(f"{key} {value}" for key, value in each.machine.items()) for each in results.sections.values()
        )
        told.append(f"On {' to '.join(sorted({min(dates), max(dates)}))}: {'; then '.join(facts)}.")
    text = f"{' '.join(told)} Median (least-most) of interleaved repetitions; ratios are "
    text += "taken round by round, inside one run."
    short = [each.name for each in sections if each.quick]
    if short:
        text += f" **Short runs, not to be quoted: {', '.join(short)}.**"
    return text


def _targets(machines: Machines) -> str:
    kinds = list(machines.results)
    columns = targets.COLUMNS if len(kinds) < 2 else [*targets.COLUMNS[:2], *kinds, "all"]
    rows = [each.row_of(machines.results) if kinds else each.row(Results()) for each in targets.TARGETS]
    return Table("targets", columns, rows).markdown()


def _plots(results: Results, folder: str) -> list[str]:
    drawn = {
        "deposit.svg": "deposit/200/32/holdfast/calls_per_s",
        "budget.svg": "budget/deposit/front/cpu_us",
        "flat.svg": "flat/100000_instances/cpu_us_per_call",
    }
    return [f"![{text}]({folder}{name})" for name, text in _PLOTS.items() if results.find(drawn[name]) is not None]


def _remarks(section: Section) -> list[str]:
    remarks = [f"Took {section.took_s:.0f} s{', a short run' if section.quick else ''}."]
    remarks += [f"{note[:1].upper()}{note[1:]}." for note in section.notes]
    if section.failure:
        remarks.append(f"**Failed: {section.failure}**")
    return [" ".join(remarks)]
