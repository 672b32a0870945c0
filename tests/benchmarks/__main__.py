"""`make bench`: every figure of the README, from one command. Takes about ten minutes; `--quick` about two."""

from __future__ import annotations

import click

from tests.benchmarks import lifetimes, side_by_side
from tests.benchmarks.report import Report

SECTIONS = ("side-by-side", "lifetimes")


@click.command()
@click.option("--only", type=click.Choice(SECTIONS), multiple=True, help="Only these sections.")
@click.option("--quick", is_flag=True, help="Short runs: for a look, not for figures to quote.")
def main(only: tuple[str, ...], quick: bool) -> None:
    """Measure Holdfast beside its peers and print tables; the figures also go to build/bench/bench.json."""
    report = Report()
    chosen = only or SECTIONS
    if "side-by-side" in chosen:
        side_by_side.run(report, rounds=1 if quick else 3, seconds=2 if quick else 5)
    if "lifetimes" in chosen:
        lifetimes.run(report, names=500 if quick else 5000, on_disk=5_000 if quick else 100_000)
    report.note(f"written to {report.write()}")


if __name__ == "__main__":
    main()
