"""Which token commands show a host, and those that are kept for their user, one for each host.

They are in a file that nobody else may read, `holdfast/tokens.json` in the user's configuration (`XDG_CONFIG_HOME`,
else `~/.config`). A host is its URL with scheme and port, so that what was kept for https is never sent in clear.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
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
    return (None, "nowhere") if kept is None else (checked_token(kept, f"{tokens_file()}"), f"{tokens_file()}")


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


def tokens_file() -> Path | None:
    """Where they are; None for a user without a home. XDG says that a relative path does not count."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        try:
            folder = Path("~/.config").expanduser()
        except RuntimeError:  # an account of a number alone, as in some containers
            return None
    return folder / "holdfast" / "tokens.json"


def kept_tokens() -> dict[str, str]:
    """All of them, by the host's URL.

    Raises:
        CommandFailedError: others may read the file, or it does not read.
    """
    path = tokens_file()
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_uid != os.geteuid() or facts.st_mode & _OF_OTHERS:
                raise CommandFailedError(
                    f"{path} holds tokens, and others may read it (mode {stat.S_IMODE(facts.st_mode):o}): "
                    "make it your own, chmod 600, and have its tokens rotated."
                )
            found = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):  # the home of some accounts is /dev/null
        return {}
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise _damaged(path) from None
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise CommandFailedError(f"{path} has the format {number}, this holdfast knows {FORMAT}: use the later one.")
    tokens = found.get("tokens") if number == FORMAT else None
    if not isinstance(tokens, dict) or any(not isinstance(each, str) for each in tokens.values()):
        raise _damaged(path)
    return tokens


@contextmanager
def changing_tokens() -> Iterator[dict[str, str]]:
    """What is kept, to be changed; it is kept when the block ends. Commands that do so at one time take turns.

    Raises:
        CommandFailedError: the file cannot be read or written; it is as it was.
    """
    path = tokens_file()
    if path is None:
        raise CommandFailedError("This user has no home to keep tokens in: set XDG_CONFIG_HOME to a folder of yours.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        turn = os.open(path.with_name("tokens.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            tokens = kept_tokens()
            yield tokens
            path.with_name(f"{path.name}.new").unlink(missing_ok=True)  # of a mode that somebody else chose
            facts = {"format": FORMAT, "tokens": dict(sorted(tokens.items()))}
            write_durably(path, json.dumps(facts, indent=1).encode())
        finally:
            os.close(turn)
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be written: {error.strerror}.") from None


def _damaged(path: Path) -> CommandFailedError:
    return CommandFailedError(f"{path} is no list of tokens that this release reads: remove it, and set them again.")
