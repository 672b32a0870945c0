"""Which token commands show a host, and those that are kept for their user, one for each host.

They are in a file that nobody else may read, `holdfast/tokens.json` in the user's configuration (`XDG_CONFIG_HOME`,
else `~/.config`). A host is its URL with scheme and port, so that what was kept for https is never sent in clear.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Final

from holdfast_host.cli.output import CommandFailedError
from holdfast_host.core.config import TOKEN_FORM
from holdfast_host.core.durable_files import write_durably

FORMAT: Final = 1
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def token_for(url: str, token_file: Path | None) -> tuple[str | None, str]:
    """The token for a host, by its `checked_url`, and where it is from.

    The file counts first, then HOLDFAST_TOKEN, then what is kept.

    Raises:
        CommandFailedError: the file has none, or what is kept cannot be read.
    """
    if token_file is not None:
        return _read_token(token_file), f"the file {token_file}"
    given = checked_token(os.environ.get("HOLDFAST_TOKEN", "").strip(), "HOLDFAST_TOKEN")
    if given:
        return given, "HOLDFAST_TOKEN"
    kept = kept_tokens().get(url)
    return (None, "nowhere") if kept is None else (kept, str(tokens_file()))


def _read_token(token_file: Path) -> str:
    try:
        token = token_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandFailedError(f"The token file {token_file} cannot be read: {reason}.") from None
    if not token:
        raise CommandFailedError(f"The token file {token_file} is empty: put the host's token into it.")
    return checked_token(token, f"The token file {token_file}")


def checked_token(token: str, source: str) -> str:
    """The token, or nothing; what no host can have is no header either.

    Raises:
        CommandFailedError: it is no token.
    """
    if token and not TOKEN_FORM.fullmatch(token):
        raise CommandFailedError(f"{source} must hold one token of visible ASCII characters, without spaces.")
    return token


def tokens_file() -> Path:
    """Where they are; XDG says that a relative path does not count."""
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    folder = configured if configured.is_absolute() else Path("~/.config").expanduser()
    return folder / "holdfast" / "tokens.json"


def kept_tokens() -> dict[str, str]:
    """All of them, by the host's URL.

    Raises:
        CommandFailedError: others may read the file, or it does not read.
    """
    path = tokens_file()
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_uid != os.geteuid() or facts.st_mode & _OF_OTHERS:
                raise CommandFailedError(
                    f"{path} holds tokens, and others may read it (mode {stat.S_IMODE(facts.st_mode):o}): "
                    "make it your own, chmod 600, and have its tokens rotated."
                )
            found = json.loads(file.read())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise _damaged(path) from None
    tokens = found.get("tokens") if isinstance(found, dict) and found.get("format") == FORMAT else None
    if not isinstance(tokens, dict) or any(not isinstance(each, str) for each in tokens.values()):
        raise _damaged(path)
    return tokens


def keep_tokens(tokens: dict[str, str]) -> None:
    """Keep these and no others.

    Raises:
        CommandFailedError: the file cannot be written; it is as it was.
    """
    path = tokens_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.with_name(f"{path.name}.new").unlink(missing_ok=True)  # of a mode that somebody else chose
        write_durably(path, json.dumps({"format": FORMAT, "tokens": dict(sorted(tokens.items()))}, indent=1).encode())
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be written: {error.strerror}.") from None


def _damaged(path: Path) -> CommandFailedError:
    return CommandFailedError(f"{path} is no list of tokens that this release reads: remove it, and set them again.")
