"""How the URL of a host is written, and the paths of its API."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

import httpx

from holdfast_host.cli.output import CommandFailedError

DEFAULT_HOST: Final = "http://127.0.0.1:8787"


def checked_url(url: str) -> str:
    """The URL of a host as it is always written: in small letters, with a scheme, without its usual port or a slash.

    Raises:
        CommandFailedError: it is none, or has a user and a password, which would be kept and shown with it.
    """
    if "@" in url.partition("//")[2].partition("/")[0] or ("//" not in url and "@" in url.partition("/")[0]):
        raise CommandFailedError(
            "The URL of --host has a user or a password, which no host takes: leave out all before the @, and give a "
            "token with 'holdfast auth set', HOLDFAST_TOKEN or --token-file."
        )
    try:
        parts = httpx.URL(url if "//" in url else f"http://{url}")
        parts.host.encode("idna")
    except (httpx.InvalidURL, ValueError):
        parts = httpx.URL()
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise CommandFailedError(f"{url!r} is no host: give a URL such as {DEFAULT_HOST}.")
    return str(httpx.URL(str(parts))).rstrip("/")  # once more: it knows the usual port of a scheme in small letters


def api_path(*segments: str) -> str:
    """A path of the API, from words as they were typed; dots are escaped, for clients take `..` out of a path."""
    quoted = (quote(each, safe="", errors="surrogateescape").replace(".", "%2E") for each in segments)
    return "/".join(("/v1", *quoted))


def instance_path(actor_type: str, name: str, *further: str) -> str:
    """The path of one instance, or of what is below it."""
    return api_path("instances", actor_type, name, *further)


def with_query(path: str, asked: dict[str, str]) -> str:
    """The path with a query; what no UTF-8 was on the command line is none here either."""
    return f"{path}?{urlencode(asked, errors='surrogateescape')}" if asked else path
