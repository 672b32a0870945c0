"""holdfast.toml in a project directory: read with all its environments, and given the function's identity.

What the text may say stands in `manifest`. The only importer of tomlkit in the core, which keeps comments and order.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from holdfast_host.core.errors import InvalidManifestError
from holdfast_host.core.limits import Limits
from holdfast_host.core.manifest import MANIFEST_FILE, Manifest, environments_of, parse_manifest

MANIFEST_BYTES_MAX: Final = 256 * 1024


def read_manifest(project: Path, limits: Limits | None = None, environment: str | None = None) -> Manifest:
    """The manifest of a project directory, all of whose environments keep the rules.

    Args:
        project: The directory.
        limits: The operator's; the defaults where None.
        environment: The `[env.NAME]` that overrides the rest; None for the file without any.

    Raises:
        InvalidManifestError: There is none, it cannot be read, or it breaks a rule.
    """
    text = manifest_text(project)
    manifest = parse_manifest(text, limits, environment)
    for each in environments_of(text):
        parse_manifest(text, limits, each)
    return manifest


def manifest_text(project: Path) -> str:
    """The text of a project's manifest; InvalidManifestError where there is none, or it cannot be read."""
    path = project / MANIFEST_FILE
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise InvalidManifestError(f"{path} is larger than {MANIFEST_BYTES_MAX} bytes")
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise InvalidManifestError(f"there is no {MANIFEST_FILE} in {project}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidManifestError(f"{path} cannot be read: {error}") from None
    return text


def write_func_id(project: Path, func_id: str) -> None:
    """Write `[deploy] func_id` into a project's manifest, atomically; comments and order of the file are kept."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = project / MANIFEST_FILE
    try:
        document = tomlkit.parse(path.read_text("utf-8"))
    except TOMLKitError as error:  # what it does not read of a TOML newer than itself
        raise InvalidManifestError(
            f'{MANIFEST_FILE} cannot take the function\'s id ({error}): write func_id = "{func_id}" below [deploy]'
        ) from None
    if "deploy" not in document:
        document["deploy"] = tomlkit.table()
    document["deploy"]["func_id"] = func_id
    replace_text(path, tomlkit.dumps(document), path.stat().st_mode & 0o777)


def replace_text(path: Path, text: str, mode: int) -> None:
    """Replace a file of a project, or make it, whole or not at all; OSError leaves what was there."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
