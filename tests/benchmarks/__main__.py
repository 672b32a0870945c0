"""`make bench`: every figure of the README, from one command. About twenty minutes; `--quick` about five."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table as RichTable

from tests.benchmarks import (
    archive,
    budget,
    cluster,
    copies,
    counts,
    deploys,
    disk,
    flat,
    functions,
    jobs,
    keyed,
    lifetimes,
    neighbours,
    nested,
    outbound,
    page,
    plots,
    sandbox,
    scaling,
    side_by_side,
    sockets,
    targets,
)
from tests.benchmarks.results import Machines, Results, Section, Table, machine
from tests.benchmarks.scale import FULL, QUICK, Scale
from tests.benchmarks.servers import MissingToolError

OUT: Final = page.PROJECT / "build" / "bench"
SECTIONS: Final[dict[str, Callable[[Section, Scale], None]]] = {
    "side by side": side_by_side.run,
    "function in front": functions.run,
    "calls between actors": nested.run,
    "idempotency keys": keyed.run,
    "jobs": jobs.run,
    "archive": archive.run,
    "cluster": cluster.run,
    "sockets": sockets.run,
    "neighbours": neighbours.run,
    "copies": copies.run,
    "outbound HTTP": outbound.run,
    "budget of a call": budget.run,
    "counts": counts.run,
    "sandbox": sandbox.run,
    "disk": disk.run,
    "flat": flat.run,
    "lifetimes": lifetimes.run,
    "deploy": deploys.run,
    "scaling": scaling.run,
}
CHECKOUT: Final = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)
_WIDTH = 190  # also where the output is no terminal


@click.command()
@click.option("--only", type=click.Choice(list(SECTIONS)), multiple=True, help="Only these sections.")
@click.option("--quick", is_flag=True, help="Short runs: for a look, not for figures to quote.")
@click.option(
    "--write",
    is_flag=True,
    help="Also into docs/bench and the README; what was not measured now, or on another kind of machine, stays.",
)
@click.option("--on-disk", type=click.IntRange(1_000), help="How many instances lie on disk in the section flat.")
@click.option(
    "--before",
    type=CHECKOUT,
    help="An installed checkout of an earlier commit, beside the budget and the counts of now.",
)
def main(only: tuple[str, ...], quick: bool, write: bool, on_disk: int | None, before: Path | None) -> None:
    """Measure Holdfast beside its peers; print tables, and write them with JSON and plots to build/bench."""
    console = Console(width=_WIDTH)
    scale = replace(QUICK if quick else FULL, before=before)
    scale = scale if on_disk is None else replace(scale, on_disk=on_disk)
    results = Results()
    for name in only or SECTIONS:
        results.sections[name] = section = _measure(console, name, scale)
        for table in section.tables:
            _show(console, table)
    budget_table = page.budget_table(results)
    if budget_table is not None:
        _show(console, budget_table)
    _show(console, Table("targets", targets.COLUMNS, targets.rows(results)))
    _write(OUT, Machines.of(results))
    console.print(f"written to {OUT}", style="dim")
    if write:
        merged = page.load(page.RESULTS).merged(results)
        _write(page.FOLDER, merged)
        section_text = page.readme_section(merged)
        page.README.write_text(page.with_section(page.README.read_text(), section_text))
        console.print(f"written to {page.FOLDER} and {page.README}", style="dim")
    failed = [each.name for each in results.sections.values() if each.failure]
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}; `--only` repeats a section")


def _measure(console: Console, name: str, scale: Scale) -> Section:
    """Run one section; what goes wrong in it is no reason to lose the others."""
    section = Section(name, datetime.now(UTC).date().isoformat(), scale.quick, machine())
    console.print(f"{name} ...", style="dim")
    began = time.monotonic()
    try:
        SECTIONS[name](section, scale)
    except MissingToolError as error:
        section.failure = str(error)
    except Exception as error:
        traceback.print_exc()
        section.failure = f"{type(error).__name__}: {error}"[:300]
    section.took_s = time.monotonic() - began
    for note in [*section.notes, *([f"FAILED: {section.failure}"] if section.failure else [])]:
        console.print(f"  {note}", style="dim", markup=False)
    console.print(f"  took {section.took_s:.0f} s", style="dim")
    return section


def _show(console: Console, table: Table) -> None:
    shown = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*(cell.replace("**", "") for cell in row))
    console.print(shown)


def _write(folder: Path, machines: Machines) -> None:
    """JSON, Markdown and plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / page.RESULTS.name).write_text(machines.to_json())
    (folder / page.PAGE.name).write_text(page.results_page(machines))
    try:
        plots.draw(page.plotted(machines), folder)
    except ImportError as error:
        print(f"no plots ({error}): pip install -e '.[bench]'", file=sys.stderr)


if __name__ == "__main__":
    main()
