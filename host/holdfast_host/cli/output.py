"""How commands speak: results on stdout, everything else on stderr, one sentence when something fails.

A terminal gets colours, bars and spinners; a pipe gets plain lines; `--json` gets one JSON document on stdout and
nothing else there. What does not live here: what the sentences say.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


class CommandFailedError(click.ClickException):
    """One sentence that says what failed and what to do; shown on stderr, without a traceback."""

    exit_code = EXIT_FAILED

    def show(self, file: Any = None) -> None:
        """Print the sentence as it is: it names the command's own words, no prefix helps."""
        click.echo(self.format_message(), err=True, file=file)


class WrongUsageError(CommandFailedError):
    """The words of a command do not fit it: what is wrong with them, and where to look."""

    exit_code = EXIT_USAGE

    @classmethod
    def of(cls, error: click.UsageError, command: str) -> WrongUsageError:
        """From the library's own, whose sentence stands below two lines of usage."""
        sentence = " ".join(error.format_message().split()).rstrip(".")
        asked = error.ctx.command_path if error.ctx is not None else command
        return cls(f"{sentence}{' See' if sentence.endswith('?') else '; see'} '{asked} --help'.")


def tell(answer: Any, sentence: str, as_json: bool) -> None:
    """What a command has done: the host's answer for programs, a sentence for people."""
    if as_json:
        print_json(answer)
    else:
        click.echo(sentence)


def json_option(decorated: _Decorated) -> _Decorated:
    """Add `--json` to a command, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")(decorated)


def print_json(value: Any) -> None:
    """One compact document on stdout, ASCII only so that every terminal and every string passes."""
    click.echo(json.dumps(value, separators=(",", ":")))


def readable_json(value: Any) -> str:
    """JSON for people: `{"balance": 5}`, characters as they are where stdout can show them."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def printable(text: str) -> str:
    """The text, its control characters escaped: a name is any text, a terminal is not to obey it."""
    return text if text.isprintable() else ascii(text)[1:-1]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for a terminal, tab-separated lines under a heading otherwise."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)


class Stages:
    """The stages of a long command as they happen, on stderr. A context manager; lives as long as the command.

    On a terminal each stage is a line with a spinner that becomes its time; elsewhere a plain line when it begins. With
    `quiet` nothing is shown. One thread at a time may call it.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._plain = not self._console.is_terminal
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""
        self._began = 0.0

    def __enter__(self) -> Stages:
        """Nothing is shown until the first stage."""
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_rest: object) -> None:
        """End the running stage; a failed one leaves no line that looks finished."""
        self._end(failed=exception_type is not None)

    def begin(self, label: str) -> None:
        """Begin a stage, which ends the one before. The same label again changes nothing."""
        if self._quiet or label == self._label:
            return
        self._end()
        self._label, self._began = label, time.monotonic()
        if self._plain:
            click.echo(f"{label} ...", err=True)
            return
        self._show(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), total=None)

    def begin_upload(self, label: str, total_bytes: int) -> Callable[[int], None]:
        """Begin a stage with a bar; call what it returns with the bytes sent so far."""
        self.begin(label)
        if self._quiet or self._plain:
            return lambda _sent_bytes: None
        self._hide()
        self._show(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), total=total_bytes)
        progress, task = self._progress, self._task
        assert progress is not None
        assert task is not None
        return lambda sent_bytes: progress.update(task, completed=sent_bytes)

    def _show(self, *columns: Any, total: float | None) -> None:
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task(self._label, total=total)
        self._progress.start()

    def _hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._task = None

    def _end(self, *, failed: bool = False) -> None:
        if not self._label:
            return
        self._hide()
        if not self._plain and not failed:
            took_s = time.monotonic() - self._began
            self._console.print(f"{self._label} [dim]{took_s:.1f} s[/dim]", highlight=False)
        self._label = ""
