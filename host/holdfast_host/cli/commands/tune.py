"""`holdfast tune`: the numbers of workers and fronts that serve most calls on this machine, and why."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.output import CommandFailedError, Stages, json_option, print_json, say
from holdfast_host.cli.tune.search import Measured, Numbers, Step, bound_of, search
from holdfast_host.cli.variables import option

_SECONDS_MAX: Final = 600.0
_EXAMPLES: Final = """\b
Examples:
  holdfast tune
  holdfast tune --data /var/lib/holdfast --seconds 10 --json
"""


@click.command("tune", epilog=_EXAMPLES)
@option(
    "--data",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory on the disk that is to be used; what is written there is removed.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.2, _SECONDS_MAX),
    default=3.0,
    show_default=True,
    metavar="N",
    help="How long each host is loaded.",
)
@click.option(
    "--processes",
    type=click.IntRange(2, 64),
    metavar="N",
    help="Workers and fronts together, at most.  [default: one less than the processors, but at least 2]",
)
@json_option
def command(data: Path, seconds: float, processes: int | None, as_json: bool) -> None:
    """Find how many workers and fronts serve most durable calls here.

    Starts hosts of its own, from one worker and one front on, loads each with calls to 200 instances that read and
    write, and adds one of what is busiest as long as that brings 5 %. Run it while the machine does nothing else.
    """
    from holdfast_host.cli.commands.build import build  # which needs a builder
    from holdfast_host.cli.doctor.machine import processors
    from holdfast_host.cli.tune.hosts import PROJECT, measure

    found = processors()
    most = processes or max(2, int(found) - 1)
    loads = max(1, int(found) - most)
    with Stages(quiet=as_json) as stages, tempfile.TemporaryDirectory(prefix="holdfast-tune-") as folder:
        for name, text in PROJECT.items():
            (Path(folder) / name).write_text(text)
        component = build(Path(folder), stages).path

        def measured(numbers: Numbers) -> Measured:
            stages.begin(f"Loading a host with {numbers}")
            return measure(component, data, numbers, loads, seconds)

        try:
            steps = list(search(measured, most))
        except OSError as error:
            raise CommandFailedError(f"a host cannot be measured in {data}: {error}") from None
    best = [each for each in steps if each.is_better][-1].measured
    bound = bound_of(best, most)
    if as_json:
        tried = [{**asdict(each.measured), "better": each.is_better, "why": each.why} for each in steps]
        print_json({**asdict(best.numbers), "processors": found, "bound": bound, "tried": tried})
        return
    for each in steps:
        say(_line(each))
    say(f"{found:g} processors; workers and fronts together at most {most}. {bound[:1].upper()}{bound[1:]}.")
    say(f"holdfast serve {best.numbers}")


def _line(step: Step) -> str:
    seen = step.measured
    told = f"{seen.calls_per_s:,.0f} calls/s, p99 {seen.p99_ms:.1f} ms"
    told += f", workers busy {seen.worker_busy:.0%}, fronts {seen.front_busy:.0%}"
    return f"{'better' if step.is_better else 'no    '}  {step.measured.numbers}: {told} ({step.why})"
