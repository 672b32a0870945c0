"""What 'holdfast import' and 'holdfast clone' say when they are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.cli.output import counted

if TYPE_CHECKING:
    from holdfast_host.cli import answers


def said_of(answer: answers.Imported) -> str:
    """What came along, and what did not."""
    parts = [counted(answer["keys"], "key"), *(["its alarm"] if answer["alarm"] else [])]
    parts += [counted(answer["jobs"], "job")] if answer["jobs"] else []
    left_out = answer["jobs_left_out"]
    stays = f"; {counted(left_out, 'job')} for others stay with the instance that has them" if left_out else ""
    return f"{answer['type']}/{answer['name']} has {', '.join(parts)}{stays}."
