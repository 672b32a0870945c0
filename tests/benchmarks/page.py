"""The results as Markdown: a page of all tables, and the section of the README, which is generated between markers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks import targets
from tests.benchmarks.budget import BEFORE, NOW
from tests.benchmarks.results import Results, Section, Table
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


def load(path: Path) -> Results:
    """Results that were kept; empty where there are none."""
    return Results.from_json(path.read_text()) if path.exists() else Results()


def results_page(results: Results) -> str:
    """All tables of a run."""
    parts = ["# Measurements", _provenance(results), *_plots(results, ""), "## Targets", _targets(results)]
    budget = budget_table(results)
    if budget is not None:
        parts += ["## The budget of one call", budget.markdown()]
    for section in results.sections.values():
        parts += [f"## {section.name}", *_remarks(section)]
        for table in section.tables:
            parts += [f"**{table.title}**", table.markdown()]
    return "\n\n".join(parts) + "\n"


def readme_section(results: Results) -> str:
    """What stands between the markers."""
    if not results.sections:
        return NOTHING
    rows = [target.row(results) for target in targets.TARGETS if target.figure in _HEADLINES]
    shown = Table("targets", targets.COLUMNS, rows).markdown()
    return "\n\n".join([*_plots(results, "docs/bench/")[:1], shown, _provenance(results)]) + "\n"


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


def _provenance(results: Results) -> str:
    """Machine, dates and versions, and what a reader has to know of them."""
    sections = list(results.sections.values())
    dates = " to ".join(sorted({min(each.date for each in sections), max(each.date for each in sections)}))
    machines = list(
        dict.fromkeys(", ".join(f"{key} {value}" for key, value in each.machine.items()) for each in sections)
    )
    text = (
        f"Measured on {dates}: {'; then '.join(machines)}. Median (least-most) of interleaved repetitions; ratios are "
    )
    text += "taken round by round, inside one run."
    short = [each.name for each in sections if each.quick]
    if short:
        text += f" **Short runs, not to be quoted: {', '.join(short)}.**"
    return text


def _targets(results: Results) -> str:
    return Table("targets", targets.COLUMNS, targets.rows(results)).markdown()


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
