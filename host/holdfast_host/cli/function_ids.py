"""The identities of functions of environments, which a project keeps for each host beside its holdfast.toml.

The file is not for version control: whoever deploys from elsewhere reaches the same function by its name, and the host
tells its identity again. So losing it, or an entry to another deploy at the same moment, costs nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from holdfast_host.cli.output import CommandFailedError
from holdfast_host.core.project_manifest import replace_text

IDS_FILE: Final = ".holdfast-functions.json"
FORMAT: Final = 1
_MODE: Final = 0o644


def kept_func_ids(project: Path, url: str) -> dict[str, str]:
    """The functions that its environments are at a host, by that one's `checked_url`; those deployed there before.

    Raises:
        CommandFailedError: the file is not as it is written here.
    """
    return _read(project / IDS_FILE).get(url, {})


def keep_func_id(project: Path, url: str, environment: str, func_id: str) -> None:
    """Note it.

    Raises:
        CommandFailedError: the file is not as it is written here.
        OSError: it cannot be written.
    """
    path = project / IDS_FILE
    hosts = _read(path)
    hosts.setdefault(url, {})[environment] = func_id
    replace_text(path, json.dumps({"format": FORMAT, "functions": hosts}, indent=2, sort_keys=True) + "\n", _MODE)


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Identities by host, then by environment."""
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise _strange(path) from None
    form = content.get("format") if isinstance(content, dict) else None
    if isinstance(form, int) and form > FORMAT:
        raise CommandFailedError(f"{path} has the format {form}, this holdfast knows {FORMAT}: use the later one.")
    hosts = content.get("functions") if form == FORMAT else None
    if not isinstance(hosts, dict) or not all(_is_host(each) for each in hosts.values()):
        raise _strange(path)
    return hosts


def _is_host(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _strange(path: Path) -> CommandFailedError:
    return CommandFailedError(
        f"{path} is not as holdfast writes it: restore it, or remove it, and functions are found by their names."
    )
