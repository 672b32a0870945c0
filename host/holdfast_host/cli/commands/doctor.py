"""`holdfast doctor`: whether a host is well on this machine and in this directory, and what to do where it is not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.doctor.checks import Check, State
from holdfast_host.cli.doctor.collector import collector_checks
from holdfast_host.cli.doctor.directory import directory_checks, nearest
from holdfast_host.cli.doctor.disk import disk_checks
from holdfast_host.cli.doctor.machine import machine_checks
from holdfast_host.cli.output import CommandFailedError, counted, json_option, print_json, say
from holdfast_host.cli.variables import option

_APART_S: Final = 5.0  # a host's Date has whole seconds, and takes its time
_EXAMPLES: Final = """\b
Examples:
  holdfast doctor
  holdfast doctor --data /var/lib/holdfast --host http://127.0.0.1:8787 --json
"""


@click.command("doctor", epilog=_EXAMPLES)
@option(
    "--data",
    default=".holdfast",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path, readable=False),
    help="The data directory; it need not be there yet.",
)
@option("--host", metavar="URL", help="A running host to look at, too.  [default: none]")
@option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The authority that signed the certificate of an https:// host (PEM); without it SSL_CERT_FILE counts, or the "
    "usual ones.",
)
@json_option
def command(data: Path, host: str | None, ca: Path | None, as_json: bool) -> None:
    """Look at this machine, the data directory and a running host, and say what to do where something is not well.

    Nothing is changed; a file is written into the directory and removed, to see how long a sync takes. The exit code is
    1 where there is a fault: a host would not start, or would lose what it has acknowledged.
    """
    checks = []
    for check in _all(data, host, ca):
        checks.append(check)
        if not as_json:
            say(f"{check.state:7}  {check.what}: {check.said}")
            if check.todo:
                say(f"         {check.todo}")
    if as_json:
        print_json([asdict(each) for each in checks])
    if faults := sum(each.state is State.FAULT for each in checks):
        raise CommandFailedError(f"{counted(faults, 'fault')}: mend what is named above, then look again.")


def _all(data: Path, host: str | None, ca: Path | None) -> Iterator[Check]:
    yield from machine_checks()
    yield from collector_checks(os.environ)
    yield from directory_checks(data)
    folder = nearest(data)
    yield from disk_checks(folder if folder.is_dir() else folder.parent)
    if host is not None:
        yield from _host_checks(host, ca)


def _host_checks(url: str, ca: Path | None) -> Iterator[Check]:
    """Whether a host answers, is ready, and has the time that is here."""
    from holdfast_host.cli.client import HostClient, RefusedError

    with HostClient(url, None, authorities=ca) as client:
        try:
            date = client.probe("/health/liveness")
        except CommandFailedError as error:
            yield Check.fault("host", error.message, "look at its log")
            return
        try:
            client.probe("/health/readiness")
        except RefusedError as error:
            yield Check.fault("host", f"it is not ready: {error.reason}", "look at its log, and at 'holdfast top'")
        except CommandFailedError as error:
            yield Check.fault("host", error.message, "look at its log")
        else:
            yield Check.ok("host", f"{client.url} is ready")
    yield clock_of_host_check(date, time.time())


def clock_of_host_check(date: str | None, now: float) -> Check:
    """A host's clock against the one here."""
    if date is None:
        return Check.warning("host's clock", "it says no date", "is there a proxy before it that takes it away?")
    try:
        apart_s = parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return Check.warning("host's clock", f"it says {date!r:.40}, which is no date", "is there a proxy before it?")
    if abs(apart_s) > _APART_S:
        todo = "set the one that is wrong: log lines, alarms and --since go by them"
        return Check.warning("host's clock", f"{apart_s:+.0f} s from the one here", todo)
    return Check.ok("host's clock", "as the one here")
