"""The commands that pages say exist, with the options that they say."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from holdfast_host.cli.main import group
from tests.harness.components import PROJECT

PAGES = sorted(each.name for each in (PROJECT / "docs").glob("*.md"))
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(holdfast [^`\n]+)`")
_END = re.compile(r"\s(?:#|\||&&|>|<|;|&).*")


def commands_of(text: str) -> list[str]:
    """Each line of blocks, and each piece of code in a sentence, that begins with `holdfast`."""
    lines = [line for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if line.startswith("holdfast ")] + _INLINE.findall(_BLOCK.sub("", text))
    return [_END.sub("", each) for each in found]


def unknown_in(line: str) -> str | None:
    """The first word of it that no release knows: a command, or an option of one."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = group
    context = click.Context(group)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        following = command.get_command(context, name)
        if following is None:
            return name
        command = following
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    given = [word.partition("=")[0] for word in words if re.match("--?[a-z]", word)]
    return next((each for each in given if each not in known), None)


def test_a_command_or_an_option_that_is_none_is_found() -> None:
    assert unknown_in("holdfast serve --port 1") == "--port"
    assert unknown_in("holdfast token rotated ID") == "rotated"
    assert unknown_in("holdfast serve --listen 127.0.0.1:0 --data DIR") is None


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_exists_with_its_options(page: str) -> None:
    found = commands_of((PROJECT / "docs" / page).read_text())

    assert [(line, unknown) for line in found if (unknown := unknown_in(line)) is not None] == []
