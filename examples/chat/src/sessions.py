"""Who somebody is and until when, signed, in a cookie: no script of a page can read it, and nobody can make one."""

import base64
import hashlib
import hmac

COOKIE = "session"
LASTS_S = 7 * 24 * 3600


def make(user: str, key: str, now: float, *, secure: bool) -> str:
    """The value of a Set-Cookie header."""
    said = base64.urlsafe_b64encode(f"{now + LASTS_S:.0f} {user}".encode()).decode()
    flags = "HttpOnly; SameSite=Lax; Path=/" + ("; Secure" if secure else "")
    return f"{COOKIE}={said}.{_sign(said, key)}; Max-Age={LASTS_S}; {flags}"


def read(cookies: str, key: str, now: float) -> str | None:
    """The user that a Cookie header names; None where it names nobody, or its time is over."""
    found = dict(each.strip().partition("=")[::2] for each in cookies.split(";"))  # whatever the others look like
    said, _, signature = found.get(COOKIE, "").partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(said, key).encode()):
        return None
    until, _, user = base64.urlsafe_b64decode(said).decode().partition(" ")
    return user if now < float(until) else None


def _sign(said: str, key: str) -> str:
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()
