"""`holdfast`: the group of commands, each a small module of this folder that is imported when it is used.

A command module exposes a click command called `command`. Loading them one by one keeps `holdfast serve` from waiting
for an HTTP client, and `holdfast call` from waiting for a build tool.
"""

from __future__ import annotations

import importlib
import os
from keyword import iskeyword
from typing import Any, Final

import click

from holdfast_host import __version__
from holdfast_host.cli.output import CommandFailedError, WrongUsageError, guard_tracebacks, say
from holdfast_host.cli.variables import name_unknown
from holdfast_host.core.errors import ConfigurationError, HoldfastError

_COMMANDS: Final = {
    "serve": "Run the host in the foreground.",
    "new": "Make a project to begin with.",
    "dev": "Run projects on a host of their own, live at every save.",
    "build": "Build a project into a component.",
    "deploy": "Build and deploy a project, or deploy a built component (also: ship).",
    "types": "Write types of a project's bindings, for editors and type checkers.",
    "call": "Call a method of one instance.",
    "list": "List the deployed functions.",
    "actors": "List the deployed actor types and their methods.",
    "undeployed": "List the actor types that are undeployed and still have storage.",
    "quarantined": "List what may not run for having killed workers.",
    "release": "Let a quarantined instance or function run again.",
    "instances": "List the instances of an actor type.",
    "inspect": "Show one instance: its state, its alarm, what it has stored.",
    "storage": "Read, write and delete single keys of an instance.",
    "export": "Write one instance, or all of a type, as lines or as a Parquet file.",
    "import": "Make an instance from an export.",
    "clone": "Copy an instance to another name.",
    "sockets": "List the sockets of an instance, or close one.",
    "alarm": "List alarms; set and clear that of an instance.",
    "job": "List jobs, show one, have it tried again, cancel it.",
    "hosts": "List the hosts of the store, and which one serves.",
    "top": "Show what the workers do now.",
    "doctor": "Look at machine, data directory and host, and say what to do.",
    "tune": "Find how many workers and fronts serve most calls here, and why.",
    "backup": "Take a backup of a running host.",
    "restore": "Make a data directory from a backup, or from an archive as of any moment.",
    "changes": "Show what was committed, in order, and follow it.",
    "revert": "Give an instance the keys that it had at a moment, from the archive.",
    "store": "Make and check a store on PostgreSQL.",
    "verify": "Read a whole data directory, and say what is wrong.",
    "evict": "Take an instance out of memory; its storage stays.",
    "erase": "Delete all that an instance has stored, its alarm and jobs among it.",
    "logs": "Show what instances print, and follow it.",
    "rollback": "Run a version again that is kept.",
    "delete": "Undeploy a function; its storage stays.",
    "tenant": "Make, limit, list and delete tenants: name spaces that see nothing of each other.",
    "token": "Make, list, rotate and revoke tokens, each with what it may.",
    "auth": "Keep a token for each host, for the commands.",
    "audit": "Show what was changed through the management API, and by whom.",
    "secret": "Set, list and delete secrets that functions see on env.",
}
_ALIASES: Final = {"ship": "deploy"}
# What the extra `host` brings, as modules: a command that misses one of them says so.
HOST_MODULES: Final = frozenset(
    {
        "aiohttp",
        "componentize_py",
        "cryptography",
        "lmdb",
        "msgspec",
        "packaging",
        "pip",
        "prometheus_client",
        "rtoml",
        "structlog",
        "tomlkit",
        "uvloop",
        "wasmtime",
        "zstandard",
    }
)
EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_INTERRUPTED: Final = 130  # as a shell has it for a program that SIGINT ended


class CommandGroup(click.Group):
    """The commands by name, imported on demand; an error of ours ends in one sentence on stderr."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        cmd_name = _ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in _COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        try:
            found: click.Command = importlib.import_module(f"holdfast_host.cli.commands.{module}").command
        except ModuleNotFoundError as error:
            raise _lacking(cmd_name, error) from None
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; say first which variables nobody reads (the host says it in its log)."""
        name, found, rest = super().resolve_command(ctx, args)
        if name != "serve" and not ctx.resilient_parsing and (unknown := name_unknown(os.environ)):
            say(unknown, err=True)
        return name, found, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the words before the command's name."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _worded(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; translate what it raises into a sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _worded(error) from None
        except CommandFailedError:
            raise
        except click.ClickException as error:  # the library's own, which would print itself
            raise CommandFailedError(error.format_message()) from None
        except HoldfastError as error:
            say(f"holdfast: {error.message}", err=True)
            ctx.exit(EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else EXIT_FAILED)
        except ModuleNotFoundError as error:
            raise _lacking(ctx.invoked_subcommand, error) from None
        except KeyboardInterrupt:  # who pressed Ctrl-C knows
            ctx.exit(EXIT_INTERRUPTED)


def _worded(error: click.UsageError) -> click.ClickException:
    """In one sentence; who gives no command at all is shown the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    return WrongUsageError.of(error, "holdfast")


def _lacking(command: str | None, error: ModuleNotFoundError) -> Exception:
    """A sentence with the extra that brings what could not be imported; another module's error as it is."""
    module = (error.name or "").partition(".")[0]
    if module not in HOST_MODULES:
        return error
    return CommandFailedError(
        f"`holdfast {command}` needs the host: pip install 'holdfast[host]' ({module} is not installed)"
    )


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: holdfast serve & holdfast deploy examples/account",
)
@click.version_option(__version__, prog_name="holdfast")
def group() -> None:
    """Stateful actors: one sandboxed instance per name, one turn at a time, durable before the reply."""


def main() -> None:
    """The console script."""
    guard_tracebacks()
    group.main(prog_name="holdfast")


if __name__ == "__main__":
    main()
