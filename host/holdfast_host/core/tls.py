"""What TLS is spoken with: a certificate and its key, as texts that are read once, whole.

Both come from files that somebody renews, one after the other; so they are read, tried together, and only then used.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NoReturn

PROTOCOLS: Final = ("http/1.1",)
_ANOTHER: Final = "the key is not that of the certificate, which must be the first in its file"
_REASONS: Final = {
    "KEY_VALUES_MISMATCH": _ANOTHER,
    "KEY_TYPE_MISMATCH": _ANOTHER,
    "NO_CERTIFICATE_ASSIGNED": _ANOTHER,  # for a key of that kind
    "EE_KEY_TOO_SMALL": "the key is too short to be safe: make one of 2,048 bits of RSA, or of an elliptic curve",
}


class CertificateError(ValueError):
    """A certificate and key that do not serve; its text says why."""


def server_context(chain: str, key: str) -> ssl.SSLContext:
    """The context of a server with this certificate, those between it and its authority, and its key, all PEM.

    Versions and ciphers are those that Python recommends for servers.

    Raises:
        CertificateError: they are none, the key is encrypted, or is another certificate's.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(PROTOCOLS)
    try:
        with ExitStack() as files:
            chain_path, key_path = (files.enter_context(_in_memory(text)) for text in (chain, key))
            context.load_cert_chain(chain_path, key_path, _no_password)
    except ssl.SSLError as error:
        raise CertificateError(_REASONS.get(error.reason or "", "no certificate with its key in PEM")) from None
    return context


def _no_password() -> NoReturn:
    """Without this the library would ask the terminal for one."""
    raise CertificateError("the key is encrypted: give one without a password, which only the host can read")


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path to this text, which is on no disk: the library reads paths alone."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
