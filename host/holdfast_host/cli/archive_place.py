"""Where an archive lies, as a flag takes it: a folder, or an address in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast_host.cli.output import CommandFailedError
from holdfast_host.core.bucket_address import is_bucket, refuse_bucket
from holdfast_host.core.errors import ConfigurationError

if TYPE_CHECKING:
    from os import PathLike


class ArchivePlace(click.Path):
    """A `Path`, or the text of an address, which is judged where it is used."""

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # what click.Path gives back is that too
        """As click does it."""
        return value if is_bucket(value) else super().convert(value, param, ctx)


def refuse_place_in_bucket(place: Path, what: str) -> None:
    """Where a command takes a place of this machine.

    Raises:
        CommandFailedError: it is the address of a bucket.
    """
    try:
        refuse_bucket(place, what)
    except ConfigurationError as error:
        raise CommandFailedError(f"{error.message}.") from None


ARCHIVE_PLACE: Final = ArchivePlace(path_type=Path, file_okay=False)
