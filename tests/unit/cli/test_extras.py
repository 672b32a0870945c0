"""What `pip install holdfast` brings is enough for the commands that only talk to a host; the others name the extra."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from keyword import iskeyword

import pytest
from packaging.requirements import Requirement

from holdfast_host.cli.main import _COMMANDS, HOST_MODULES
from tests.harness.components import PROJECT

# Each runs the host, builds for it, or reads a data directory.
OF_THE_HOST = {"serve", "dev", "build", "restore", "verify"}
TALKING = [each for each in _COMMANDS if each not in OF_THE_HOST]
LIBRARIES = ["holdfast", "holdfast.testing", "holdfast.testing.plugin", "holdfast.client"]


def test_the_extra_host_brings_the_modules_whose_absence_is_explained() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert {Requirement(each).name.replace("-", "_") for each in extras["host"]} == HOST_MODULES


def without_the_extra(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script where importing a module of the extra fails."""
    absent = f"import sys; sys.modules.update(dict.fromkeys({sorted(HOST_MODULES)!r}))\n"
    return subprocess.run([sys.executable, "-c", absent + script, *words], capture_output=True, text=True, check=False)


def test_the_sdk_the_kit_the_client_and_the_commands_that_talk_import_nothing_of_the_extra() -> None:
    modules = [*LIBRARIES, *(f"holdfast_host.cli.commands.{each}{'_' * iskeyword(each)}" for each in TALKING)]
    done = without_the_extra(f"import importlib\nfor each in {modules!r}: importlib.import_module(each)")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [["serve"], ["deploy", "."]],
    ids=["as it is imported", "as it is about to build"],
)
def test_a_command_that_lacks_the_extra_names_it(words: list[str]) -> None:
    done = without_the_extra("from holdfast_host.cli.main import main; main()", *words)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"`holdfast {words[0]}` needs the host: pip install 'holdfast[host]' (")
    assert len(done.stderr.splitlines()) == 1
