"""Where an archive lies, as a flag takes it: a folder, or an address in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast_host.core.bucket_address import is_bucket

if TYPE_CHECKING:
    from os import PathLike


class ArchivePlace(click.Path):
    """A `Path`, or the text of an address, which is judged where it is used."""

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # what click.Path gives back is that too
        """As click does it."""
        return value if is_bucket(value) else super().convert(value, param, ctx)


ARCHIVE_PLACE: Final = ArchivePlace(path_type=Path, file_okay=False)
