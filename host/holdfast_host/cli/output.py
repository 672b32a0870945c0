"""How commands speak: results on stdout, everything else on stderr, one sentence when something fails.

A terminal gets colours, bars and spinners; a pipe gets plain lines; `--json` gets one JSON document on stdout and
nothing else there. Nothing is printed but by the functions of this module (the linter refuses other ways), and none of
them prints a text before `printable` has seen it: whoever wrote it steers no terminal and begins no line. What does not
live here: what the sentences say.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from holdfast_host.core.terminal_text import printable

if TYPE_CHECKING:  # where it is used it is imported: the host's own process does without
    from rich.progress import Progress, TaskID, TextColumn

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


class CommandFailedError(click.ClickException):
    """One sentence that says what failed and what to do; shown on stderr, without a traceback."""

    exit_code = EXIT_FAILED

    def show(self, file: Any = None) -> None:
        """Print the sentence as it is: it names the command's own words, no prefix helps."""
        say(self.format_message(), err=True)


class WrongUsageError(CommandFailedError):
    """The words of a command do not fit it: what is wrong with them, and where to look."""

    exit_code = EXIT_USAGE

    @classmethod
    def of(cls, error: click.UsageError, command: str) -> WrongUsageError:
        """From the library's own, whose sentence stands below two lines of usage."""
        sentence = " ".join(error.format_message().split()).rstrip(".")
        asked = error.ctx.command_path if error.ctx is not None else command
        return cls(f"{sentence}{' See' if sentence.endswith('?') else '; see'} '{asked} --help'.")


def shown_path(path: Path) -> str:
    """The path as one would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def say(text: str, *, err: bool = False) -> None:
    """Print one line, whatever the text holds."""
    _print_line(_shown(text, err=err), err=err)


def say_labelled(label: str, text: str, *, colour: str | None = None, bold: bool = False) -> None:
    """Print each line of somebody's text behind the label of whoever wrote it, all in one write."""
    head = click.style(f"{_shown(label)} |", dim=not bold, bold=bold)
    lines = [click.style(_shown(line, keep="\t"), fg=colour) for line in text.splitlines() or [""]]
    _print_line("\n".join(f"{head} {line}" for line in lines))


def say_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug of ours, as Python shows it; what it quotes may be anybody's."""
    for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
        say(f"holdfast | {line}", err=True)


def guard_tracebacks() -> None:
    """Have what nobody catches, in any thread of this process, printed by `say_traceback`."""

    def of_thread(facts: threading.ExceptHookArgs) -> None:
        if facts.exc_value is not None:
            say_traceback(facts.exc_type, facts.exc_value, facts.exc_traceback)

    sys.excepthook = say_traceback
    threading.excepthook = of_thread


def ask_hidden(text: str) -> str:
    """What somebody at the terminal answers, unseen."""
    answer: str = click.prompt(_shown(text, err=True), hide_input=True, err=True)
    return answer


def confirm(text: str) -> None:
    """Return when somebody at the terminal says yes; end the command otherwise."""
    click.confirm(_shown(text, err=True), abort=True, err=True)


def tell(answer: Any, sentence: str, as_json: bool) -> None:
    """What a command has done: the host's answer for programs, a sentence for people."""
    if as_json:
        print_json(answer)
    else:
        say(sentence)


def json_option(decorated: _Decorated) -> _Decorated:
    """Add `--json` to a command, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")(decorated)


def print_json(value: Any) -> None:
    """One compact document on stdout, ASCII only so that every terminal and every string passes."""
    _print_line(compact_json(value))


def compact_json(value: Any) -> str:
    """JSON for programs."""
    with integers_of_any_length():
        return json.dumps(value, separators=(",", ":"))


def readable_json(value: Any) -> str:
    """JSON for people: `{"balance": 5}`, characters as they are; printed, it is still JSON."""
    with integers_of_any_length():
        return json.dumps(value, ensure_ascii=False)


@contextmanager
def integers_of_any_length() -> Iterator[None]:
    """Read and write digits meanwhile as they are: an integer of any length is a value, which Python refuses."""
    digits_max = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(digits_max)


def counted(number: int, noun: str) -> str:
    """`1 key`, `0 keys`, `1,000 keys`, `2 retries`."""
    many = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for a terminal, tab-separated lines under a heading otherwise."""
    shown = [[_shown(cell) for cell in row] for row in (columns, *rows)]
    if not has_screen():
        for row in shown:
            _print_line("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*shown[0], box=None, pad_edge=False)
    for row in shown[1:]:
        table.add_row(*(Text(cell) for cell in row))  # a string would be read as markup
    Console().print(table)


def has_screen() -> bool:
    """Whether results go to a terminal."""
    return sys.stdout.isatty()


class Screen:
    """A terminal's whole screen, on which one text takes the place of another; a context manager.

    The terminal is given back as it was, whatever ends the block. One thread may use it.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), screen=True, auto_refresh=False)

    def __enter__(self) -> Screen:
        """Take the screen."""
        self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Give it back."""
        self._live.stop()

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines, cut at the screen's edges."""
        from rich.text import Text

        text = Text("\n".join(_shown(line) for line in lines), no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)


def _shown(text: str, *, err: bool = False, keep: str = "") -> str:
    stream = sys.stderr if err else sys.stdout
    return printable(text, keep=keep, encoding=stream.encoding or "utf-8")


def _print_line(line: str, *, err: bool = False) -> None:
    """The only way out, for what has been made printable; no colours where it is no terminal."""
    click.echo(line, err=err)


class Stages:
    """The stages of a long command as they happen, on stderr. A context manager; lives as long as the command.

    On a terminal each stage is a line with a spinner that becomes its time; elsewhere a plain line when it begins. With
    `quiet` nothing is shown. One thread at a time may call it.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

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
            say(f"{label} ...", err=True)
            return
        from rich.progress import SpinnerColumn, TimeElapsedColumn

        self._show(SpinnerColumn(), _label_column(), TimeElapsedColumn(), total=None)

    def tell(self, sentence: str) -> None:
        """Say something that is no stage, and ends the one that runs."""
        if self._quiet:
            return
        self._end()
        say(sentence, err=True)

    def begin_upload(self, label: str, total_bytes: int) -> Callable[[int], None]:
        """Begin a stage with a bar; call what it returns with the bytes sent so far."""
        self.begin(label)
        if self._quiet or self._plain:
            return lambda _sent_bytes: None
        from rich.progress import BarColumn, DownloadColumn

        self._hide()
        progress, task = self._show(_label_column(), BarColumn(), DownloadColumn(), total=total_bytes)
        return lambda sent_bytes: progress.update(task, completed=sent_bytes)

    def _show(self, *columns: Any, total: float | None) -> tuple[Progress, TaskID]:
        from rich.progress import Progress

        self._progress = progress = Progress(*columns, console=self._console, transient=True)
        self._task = task = progress.add_task(_shown(self._label, err=True), total=total)
        progress.start()
        return progress, task

    def _hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._task = None

    def _end(self, *, failed: bool = False) -> None:
        if not self._label:
            return
        self._hide()
        if not self._plain and not failed:
            from rich.text import Text

            took_s = time.monotonic() - self._began
            self._console.print(Text.assemble(_shown(self._label, err=True), (f" {took_s:.1f} s", "dim")))
        self._label = ""


def _label_column() -> TextColumn:
    from rich.progress import TextColumn

    return TextColumn("{task.description}", markup=False)
