"""The tokens, in one document that is replaced whole: their digests, and what each may.

While it is there, requests need a token: also where none is left in it, and where the host is started without one of
its own. What was once closed does not open because a variable was forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic_ns
from typing import Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.tokens import TOKEN_ID, Scope
from holdfast_host.storage.records import Document, MovedError
from holdfast_host.supervisor.registry.file_document import FileDocument
from holdfast_host.supervisor.registry.registry import now_us
from holdfast_host.wire.control.tokens import KnownTokens, TokenFacts

FORMAT: Final = 1
FORMAT_TENANTS: Final = 2  # with tokens of tenants: a release that knows none must not take them for the host's
USE_KEPT_US: Final = 300 * 1_000_000  # from one write of a use to the next
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token; times are in microseconds since 1970. `tenant`: whose it is; None for one of the host."""

    id: str
    digest: str
    name: str
    scope: Scope
    types: tuple[str, ...]
    created_us: int
    lifetime_s: int | None  # which it has again when it is rotated
    expires_us: int | None
    used_us: int | None = None
    tenant: str | None = None


class TokenStore:
    """Opened by the supervisor, used by its thread."""

    def __init__(self, kept: Document) -> None:
        """Use `open`."""
        self._kept = kept
        self._found: dict[str, Token] = {}
        self._kept_uses: dict[str, int] = {}
        self._asked_for = False
        self._opened_us, self._opened_ns = now_us(), monotonic_ns()

    @classmethod
    def open(cls, kept: Path | Document) -> TokenStore:
        """Read what is there, in a file or another home.

        Raises:
            ConfigurationError: it does not read, or is of a format that is not known here.
        """
        store = cls(FileDocument(kept) if isinstance(kept, Path) else kept)
        store.reload()
        return store

    def reload(self) -> None:
        """Read anew what is there: another host may have changed it.

        Raises:
            ConfigurationError: it does not read, or is of a format that is not known here.
            HostUnavailableError: it cannot be read now; what was read last stays.
        """
        place = self._kept.place
        try:
            text = self._kept.read()
        except OSError as error:
            raise ConfigurationError(f"{place} cannot be read ({error.strerror}): restore it from a backup") from None
        if text is None:
            return
        try:
            facts = json.loads(text)
            found = facts["format"]
            if found not in {FORMAT, FORMAT_TENANTS}:
                raise ConfigurationError(
                    f"{place} has format {found!r:.20}, this host reads formats up to {FORMAT_TENANTS}"
                )
            self._found = {each["id"]: _read(each) for each in facts["tokens"]}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{place} cannot be read ({type(error).__name__}): restore it from a backup; without it no token that "
                "was made here is known"
            ) from None
        self._asked_for = True
        self._note_kept()

    def all(self) -> dict[str, Token]:
        """Every token by its id, in the order in which they were made."""
        return dict(self._found)

    def for_fronts(self) -> KnownTokens:
        """What fronts need of them. A token that has expired says 0: a clock that is set back gives it no more time."""
        now = max(now_us(), self._opened_us + (monotonic_ns() - self._opened_ns) // 1_000)
        return KnownTokens(
            self._asked_for,
            tuple(
                TokenFacts(
                    each.id,
                    each.digest,
                    each.name,
                    each.scope,
                    each.types,
                    0 if each.expires_us is not None and now >= each.expires_us else each.expires_us,
                    each.tenant,
                )
                for each in self._found.values()
            ),
        )

    def replace(self, found: dict[str, Token]) -> None:
        """Keep these tokens and no others; durable on return.

        Raises:
            MovedError: another host has changed them; what they are now has been read, to be decided over.
            StorageFullError, HostUnavailableError: the disk does not let us; nothing was changed.
        """
        try:
            self._write(found)
        except MovedError:
            self.reload()
            raise
        except OSError as error:
            raise disk_error(error, "the tokens cannot be written", "nothing changed") from error
        self._found = dict(found)
        self._asked_for = True
        self._note_kept()

    def note_used(self, ids: Iterable[str], at_us: int) -> None:
        """These were used lately. It is written now and then alone, and with each change of the tokens.

        Raises:
            OSError, HostUnavailableError: it cannot be written; until the next time it is known here alone.
        """
        late = False
        for each in ids:
            token = self._found.get(each)
            if token is not None and at_us > (token.used_us or 0):
                self._found[each] = replace(token, used_us=at_us)
                late = late or at_us - self._kept_uses.get(each, 0) >= USE_KEPT_US
        if late:
            self._write(self._found)
            self._note_kept()

    def _note_kept(self) -> None:
        self._kept_uses = {each.id: each.used_us or 0 for each in self._found.values()}

    def _write(self, found: dict[str, Token]) -> None:
        rows = [
            {
                "id": each.id,
                "digest": each.digest,
                "name": each.name,
                "scope": each.scope,
                "types": each.types,
                "created_us": each.created_us,
                "lifetime_s": each.lifetime_s,
                "expires_us": each.expires_us,
                "used_us": each.used_us,
                **({} if each.tenant is None else {"tenant": each.tenant}),
            }
            for each in found.values()
        ]
        number = FORMAT if all(each.tenant is None for each in found.values()) else FORMAT_TENANTS
        self._kept.write(json.dumps({"format": number, "tokens": rows}, indent=1).encode())


def _read(facts: dict[str, object]) -> Token:
    """A row of the file; ValueError, LookupError or TypeError where it is none."""
    digest, types = facts["digest"], facts["types"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(types, list):
        raise ValueError("no row of the tokens")
    return Token(
        _text(facts["id"]) if TOKEN_ID.fullmatch(_text(facts["id"])) else _text(None),
        digest,
        _text(facts["name"]),
        Scope(_text(facts["scope"])),
        tuple(_text(each) for each in types),
        _number(facts["created_us"]) or 0,
        _number(facts["lifetime_s"]),
        _number(facts["expires_us"]),
        _number(facts["used_us"]),
        None if facts.get("tenant") is None else _text(facts["tenant"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError("no whole number")
    return value
