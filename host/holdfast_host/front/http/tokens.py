"""The host's token: one for now, which stands for the tenant `default`."""

from __future__ import annotations

import hmac

from holdfast_host.core.errors import UnauthorizedError


class TokenCheck:
    """Lets a request pass that shows the host's token. Immutable."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    @property
    def required(self) -> bool:
        """Whether the host has a token."""
        return self._token is not None

    def is_shown(self, authorization: str | None) -> bool:
        """Whether the header carries the host's token; False where the host has none."""
        try:
            self.check(authorization)
        except UnauthorizedError:
            return False
        return self._token is not None

    def check(self, authorization: str | None) -> None:
        """Return when the header carries the token, or the host has none.

        The comparison takes the same time whatever differs.

        Raises:
            UnauthorizedError: no header, another scheme, another token.
        """
        if self._token is None:
            return
        if authorization is None:
            raise UnauthorizedError("this host has a token: send it as 'Authorization: Bearer TOKEN'")
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthorizedError("the Authorization header must be 'Bearer TOKEN'")
        if not hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), self._token):
            raise UnauthorizedError("this is not the host's token")
