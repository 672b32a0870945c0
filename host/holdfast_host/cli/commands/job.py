"""`holdfast job`: what instances have left to the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import counted, json_option, print_json, say, tell

STATES: Final = ("armed", "retrying", "waiting", "abandoned", "parked")
_EXAMPLES: Final = """\b
Examples:
  holdfast job list --state abandoned
  holdfast job show Wallet alice 5f2b0a1c9d3e4f60718293a4b5c6d7e8
  holdfast job retry Wallet alice 5f2b0a1c9d3e4f60718293a4b5c6d7e8
"""
_LIST_EXAMPLES: Final = """\b
Examples:
  holdfast job list
  holdfast job list --state abandoned --type Wallet
  holdfast job list --of Wallet alice
"""
_SHOW_EXAMPLES: Final = """\b
Example:
  holdfast job show Wallet alice 5f2b0a1c9d3e4f60718293a4b5c6d7e8
"""
_RETRY_EXAMPLES: Final = """\b
Examples:
  holdfast job retry Wallet alice 5f2b0a1c9d3e4f60718293a4b5c6d7e8
  holdfast job retry --again Wallet alice 5f2b0a1c9d3e4f60718293a4b5c6d7e8   # its effect is unknown
"""
_CANCEL_EXAMPLES: Final = """\b
Example:
  holdfast job cancel Wallet alice 5f2b0a1c9d3e4f60718293a4b5c6d7e8
"""


@click.group("job", epilog=_EXAMPLES)
def command() -> None:
    """List jobs, show one, have it tried again, cancel it. The last two are turns of its instance."""


@command.command("list", epilog=_LIST_EXAMPLES)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--type", "actor_type", help="Only those of instances of this actor type.")
@click.option("--of", nargs=2, help="Only those of this instance: TYPE NAME.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@host_options
@json_option
def list_jobs(
    state: str | None,
    actor_type: str | None,
    of: tuple[str, str] | None,
    limit: int | None,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """List jobs by state: when each is due, its instance, what it does, how often it was tried, its last error.

    With --json one JSON document a line.
    """
    with open_client(host, token_file) as client:
        if of is not None:
            if state is not None or actor_type is not None:
                raise click.UsageError("--of lists all jobs of one instance: leave out --state and --type")
            for each in client.rows(instance_path(*of, "jobs"), "jobs", answers.Job, {}, limit):
                _show_row(each, "/".join(of), as_json)
            return
        asked = {name: value for name, value in (("state", state), ("type", actor_type)) if value is not None}
        for row in client.rows("/v1/jobs", "jobs", answers.ListedJob, asked, limit):
            whose = row["type"] or f"(undeployed type {row['type_id']})"
            _show_row(row, f"{whose}/{row['name']}", as_json)


@command.command("show", epilog=_SHOW_EXAMPLES)
@instance_arguments
@click.argument("id_", metavar="ID")
@host_options
@json_option
def show_job(actor_type: str, name: str, id_: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Show one job: what it does, with what, and the outcome that waits for its `then`."""
    with open_client(host, token_file) as client:
        job = client.get(instance_path(actor_type, name, "jobs", id_), answers.ShownJob)
    if as_json:
        print_json(job)
        return
    _show_row(job, f"{actor_type}/{name}", as_json)
    say(f"  {_shown(job['payload'])}")
    if job["outcome"] is not None:
        say(f"  outcome: {_shown(job['outcome'])}")


@command.command("retry", epilog=_RETRY_EXAMPLES)
@click.option("--again", is_flag=True, help="Also where nobody knows whether it took effect: it may do so twice.")
@instance_arguments
@click.argument("id_", metavar="ID")
@host_options
@json_option
def retry_job(
    again: bool, actor_type: str, name: str, id_: str, host: str, token_file: Path | None, as_json: bool
) -> None:
    """Have a job tried now, from its first try on; of one with an outcome, `then` alone."""
    path = instance_path(actor_type, name, "jobs", id_, "retry")
    with open_client(host, token_file) as client:
        answer = client.post(f"{path}?again=true" if again else path, {}, answers.TriedJob)
    tell(answer, f"The job {id_} of {actor_type}/{name} is due now.", as_json)


@command.command("cancel", epilog=_CANCEL_EXAMPLES)
@instance_arguments
@click.argument("id_", metavar="ID")
@host_options
@json_option
def cancel_job(actor_type: str, name: str, id_: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Cancel a job; what of it is under way may still happen."""
    with open_client(host, token_file) as client:
        answer = client.delete(instance_path(actor_type, name, "jobs", id_), answers.Deleted)
    tell(answer, f"The job {id_} of {actor_type}/{name} is cancelled.", as_json)


def _show_row(job: answers.Job, whose: str, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    does = " ".join(text for text in (job["kind"], job["to"], job["method"]) if text)
    again = f" ({job['cron']})" if job["cron"] else ""
    tries = f"  tried {counted(job['tries'], 'time')}" if job["tries"] else ""
    unknown = "  effect unknown" if job["unknown"] else ""
    error = f"  {job['last_error']}" if job["last_error"] else ""
    say(f"{job['due']}  {job['state']:<9}  {whose}  {job['id']}  {does}{again}{tries}{unknown}{error}")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
