"""Where an archive in a bucket lies: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`, as operators write it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from holdfast_host.core.errors import ConfigurationError

SCHEME: Final = "s3://"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PART: Final = re.compile(r"[A-Za-z0-9!_.'()=+@,-]{1,200}", re.ASCII)
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_PREFIX_BYTES_MAX: Final = 512  # a key may have 1,024 bytes
_SHAPE: Final = "write s3://BUCKET/PREFIX, and for another service than AWS ?endpoint=https://HOST:PORT behind it"


class BucketAddress(NamedTuple):
    """A bucket, what all names begin with there, and the service that has it."""

    bucket: str
    prefix: str  # neither begins nor ends with a slash; may be empty
    endpoint: str = ""  # empty: what the client finds in its variables and files, else AWS
    region: str = ""  # likewise

    def __str__(self) -> str:
        """As `read_bucket` takes it."""
        asked = {name: value for name, value in (("endpoint", self.endpoint), ("region", self.region)) if value}
        words = "&".join(f"{name}={quote(value, safe=':/[]')}" for name, value in asked.items())
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/") + (f"?{words}" if words else "")


def is_bucket(text: object) -> bool:
    """Whether this is meant for a bucket, and not for a folder: one whose name begins so is written `./s3:...`."""
    return isinstance(text, str) and text.lower().startswith("s3:")


def refuse_bucket(place: object, what: str) -> None:
    """Nothing but an archive lies in a bucket: as a path of this machine, an address would be a folder `s3:`.

    Raises:
        ConfigurationError: it is the address of one, which may hold a secret; `what` begins the sentence.
    """
    if is_bucket(str(place)):
        raise ConfigurationError(
            f"{what} is a place of this machine, not of a bucket: only an archive may lie in one, as "
            "'holdfast serve --archive' and 'holdfast restore --from' name it"
        )


def read_bucket(text: str) -> BucketAddress:
    """Read an address.

    Raises:
        ConfigurationError: it is none; the sentence names what is wrong, without a word of what may be secret.
    """
    try:
        parts = urlsplit(text)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(f"the address of a bucket cannot be read: {_SHAPE}") from None
    if "@" in parts.netloc:
        raise ConfigurationError(
            "the address of a bucket holds no credentials: leave out what stands before the @, and set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        )
    if not text.startswith(SCHEME) or parts.fragment or _BUCKET.fullmatch(parts.netloc) is None:
        raise ConfigurationError(f"{_shown(text)} names no bucket: {_SHAPE}")
    prefix = unquote(parts.path).strip("/")
    for part in prefix.split("/") if prefix else ():
        if _PART.fullmatch(part) is None or part in {".", ".."}:
            raise ConfigurationError(
                f"{_shown(text)} has the prefix {prefix[:80]!r}: use letters, digits and !_.'()=+@,- between slashes"
            )
    if len(prefix) > _PREFIX_BYTES_MAX:
        raise ConfigurationError(f"a prefix of {len(prefix)} bytes exceeds the limit of {_PREFIX_BYTES_MAX} bytes")
    if unknown := sorted(asked.keys() - {"endpoint", "region"}):
        raise ConfigurationError(f"{_shown(text)} asks for {unknown[0][:40]!r}: there are endpoint and region")
    endpoint, region = asked.get("endpoint", "").rstrip("/"), asked.get("region", "")
    _check_endpoint(endpoint)
    if region and _REGION.fullmatch(region) is None:
        raise ConfigurationError(f"the region {region[:40]!r} is none: write one as eu-central-1")
    return BucketAddress(parts.netloc, prefix, endpoint, region)


def _check_endpoint(endpoint: str) -> None:
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    else:
        whole = whole and "@" not in parts.netloc and not (parts.path or parts.query or parts.fragment)
    if not whole:
        raise ConfigurationError("the endpoint of a bucket is no address of a service: write https://HOST:PORT")


def _shown(text: str) -> str:
    return repr(text.partition("?")[0][:120])
