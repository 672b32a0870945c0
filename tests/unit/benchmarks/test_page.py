"""What the README says of speed is what was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.benchmarks import page, plots, targets
from tests.benchmarks.results import Machines, Results, Section, Spread, kind_of, machine, python_build
from tests.benchmarks.targets import Target

MACHINE = {"cpu": "a processor", "cores": "2"}


def results(*, rate: float = 6.0, quick: bool = False) -> Results:
    """A run with a few figures."""
    section = Section("side by side", "2026-11-21", quick, MACHINE)
    section.figure("deposit/200/32/workerd/ratio", [rate - 1, rate, rate + 2])
    for clients in (1, 32, 256):
        for server in plots.COLOURS:
            section.figure(f"deposit/200/{clients}/{server}/calls_per_s", [900.0, 1000.0, 1200.0])
            section.figure(f"deposit/200/{clients}/{server}/p99_ms", [5.0])
    budget = Section("budget of a call", "2026-11-22", quick, MACHINE)
    for method in ("deposit", "empty"):
        for role in ("front", "worker"):
            budget.figure(f"budget/{method}/{role}/cpu_us", [50.0 if role == "front" else 80.0])
    budget.figure("budget/deposit/worker/guest", [20.0])
    return Results({each.name: each for each in (section, budget)})


def other_results(rate: float = 3.0) -> Results:
    """A run on another machine."""
    section = Section("side by side", "2026-11-23", False, {"cpu": "Other(R) processor", "cores": "8"})
    section.figure("deposit/200/32/workerd/ratio", [rate])
    section.figure("deposit/200/32/workerd/p99_ratio", [0.5])
    return Results({section.name: section})


def test_a_run_replaces_what_was_measured_on_its_own_kind_of_machine_alone() -> None:
    kept = Machines.of(results(), other_results()).merged(other_results(3.5))

    assert list(kept.results) == ["a processor", "Other processor"]
    assert kept.results["a processor"] == results()
    assert kept.results["Other processor"].find("deposit/200/32/workerd/ratio") == Spread.of([3.5])


def test_the_readme_quotes_the_worst_machine_first_and_judges_by_it() -> None:
    machines = Machines.of(results(), other_results())
    shown = page.readme_section(machines)

    assert "| 3.00x Other processor; 6.00 (5.00-8.00)x a processor | **missed** |" in shown
    assert page.plotted(machines) == other_results()
    assert page.plotted(Machines.of(results(), other_results(9.0))) == results()


def test_kinds_of_machine_stand_side_by_side_on_the_page() -> None:
    shown = page.results_page(Machines.of(results(), other_results()))

    assert "| target | wanted | a processor | Other processor | all |" in shown
    assert "| 6.00 (5.00-8.00)x | 3.00x | **missed** |" in shown
    assert "## On Other processor" in shown
    assert "cores 8" in shown


def test_a_run_names_processor_caches_and_how_python_was_built() -> None:
    facts = machine()

    assert kind_of(facts)
    assert {"cpu", "family and model", "caches", "cores", "memory", "Python"} <= facts.keys()
    assert facts["caches"] == "unknown" or facts["caches"].startswith("L1")
    assert "PGO" in facts["Python"]
    assert python_build("'--enable-optimizations' '--with-lto'").endswith(", PGO, LTO")
    assert python_build("'--with-lto=no'").endswith(", no PGO, no LTO")


def test_the_readme_says_what_the_committed_results_say() -> None:
    written, kept = page.README.read_text(), page.load(page.RESULTS)

    assert written == page.with_section(written, page.readme_section(kept))
    if kept.results:
        assert page.PAGE.read_text() == page.results_page(kept)


def test_a_readme_with_another_figure_is_found_out() -> None:
    empty = page.with_section(page.README.read_text(), "")
    written = page.with_section(empty, page.readme_section(Machines.of(results())))

    assert "6.00 (5.00-8.00)x" in written
    assert written != page.with_section(written, page.readme_section(Machines.of(results(rate=6.5))))
    assert page.with_section(written, "") == empty


def test_results_come_back_from_json_as_they_were() -> None:
    kept = Machines.of(results(), other_results())

    assert Machines.from_json(kept.to_json()) == kept


@pytest.mark.parametrize(
    ("seen", "verdict"), [([5.0], "met"), ([4.0, 4.9, 9.0], "**missed**"), ([], "not measured"), ([9.0], "met")]
)
def test_a_target_is_judged_by_the_median(seen: list[float], verdict: str) -> None:
    section = Section("s", "2026-11-21", False, MACHINE)
    if seen:
        section.figure("f", seen)

    assert Target("t", "f", least=5).row(Results({"s": section}))[-1] == verdict


def test_a_target_with_an_upper_bound_is_missed_above_it() -> None:
    assert not Target("t", "f", most=4).is_met(Spread.of([4.1]))
    assert Target("t", "f", most=4).is_met(Spread.of([4.0]))


def test_every_target_stands_on_the_page_of_results_and_five_of_them_in_the_readme() -> None:
    whole, short = page.results_page(Machines.of(results())), page.readme_section(Machines.of(results()))

    assert all(target.what in whole for target in targets.TARGETS)
    assert [target.figure for target in targets.TARGETS if target.what in short] == list(page._HEADLINES)


def test_short_runs_are_marked() -> None:
    assert "not to be quoted" in page.readme_section(Machines.of(results(quick=True)))
    assert "not to be quoted" not in page.readme_section(Machines.of(results()))


def test_a_section_that_is_measured_again_takes_its_own_place_only() -> None:
    newer = Results({"side by side": results(rate=7.0).sections["side by side"]})
    merged = results().merged(newer)

    assert merged.find("deposit/200/32/workerd/ratio") == Spread(7.0, 6.0, 9.0)
    assert merged.find("budget/deposit/worker/guest") == Spread(20.0, 20.0, 20.0)


def test_the_budget_is_shown_beside_an_earlier_one() -> None:
    measured = results()
    alone = page.budget_table(measured)
    assert alone is not None
    assert alone.columns == ["stage", "deposit", "empty"]
    section = measured.sections["budget of a call"]
    section.figure("before/deposit/front/cpu_us", [60.0])
    section.figure("before/deposit/worker/guest", [33.0])
    table = page.budget_table(measured)

    assert table is not None
    assert table.columns == ["stage", "deposit, before", "deposit, now", "empty, before", "empty, now"]
    assert ["worker: guest", "33.0", "20.0", "", ""] in table.rows


def test_the_plots_are_whole_and_small(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only `make bench` installs it")
    drawn = plots.draw(results(), tmp_path)

    assert [path.name for path in drawn] == ["deposit.svg", "budget.svg"]
    for path in drawn:
        text = path.read_text()
        assert ET.fromstring(text).tag.endswith("svg")
        assert plots.INK in text
        assert len(text) < 60_000
