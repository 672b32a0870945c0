"""Rows of an export as a Parquet file. The only importer of pyarrow, which is an extra.

Imported where such a file is written: CommandFailedError where the extra is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast_host.cli.output import CommandFailedError

try:
    import msgspec
    import pyarrow
    from pyarrow.parquet import ParquetWriter
except ImportError:
    raise CommandFailedError("Parquet files need pyarrow: pip install 'holdfast[parquet]'.") from None

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

_GROUP_ROWS: Final = 100_000  # of one row group,
_GROUP_BYTES: Final = 32 << 20  # about, whichever is reached first


class _Row(msgspec.Struct):
    """One line."""

    name: str
    key: str
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    raw: str | None = None


def write_parquet(file: BinaryIO, lines: Iterable[bytes]) -> None:
    """Write a file with the columns name, key, value (JSON) and raw (what is none); one row group is in memory at once.

    Raises:
        CommandFailedError: a line is no row.
        OSError: the file cannot be written.
    """
    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("name", "key", "value", "raw")])
    decode = msgspec.json.Decoder(_Row).decode
    with ParquetWriter(file, schema, compression="zstd") as writer:
        columns: list[list[Any]] = [[], [], [], []]
        group_bytes = 0

        def flush() -> None:
            if columns[0]:
                writer.write_table(pyarrow.table([pyarrow.array(each, pyarrow.string()) for each in columns], schema))
            for each in columns:
                each.clear()

        for line in lines:
            try:
                row = decode(line)
                value = None if isinstance(row.value, msgspec.UnsetType) else bytes(row.value).decode()
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise CommandFailedError(f"The host answered a line that is no row of an export: {error}.") from None
            for column, cell in zip(columns, (row.name, row.key, value, row.raw), strict=True):
                column.append(cell)
            group_bytes += len(line)
            if len(columns[0]) >= _GROUP_ROWS or group_bytes >= _GROUP_BYTES:
                flush()
                group_bytes = 0
        flush()
    file.flush()
