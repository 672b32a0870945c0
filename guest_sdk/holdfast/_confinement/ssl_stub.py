"""What stands for `_ssl`, the part of Python's `ssl` that is OpenSSL: a component has none, and could not use it.

With it `ssl` imports, and with that every package that only may want to speak TLS. Contexts can be made and set up, as
packages do when they are imported; they hold what they are given, and nothing is ever verified by them, for the only
use of a context, a connection, is refused. Numbers and names are OpenSSL's and Python's own.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any, Final

from holdfast._confinement.denied import no_network, refusing

_ALERTS: Final = {
    "CLOSE_NOTIFY": 0, "UNEXPECTED_MESSAGE": 10, "BAD_RECORD_MAC": 20, "RECORD_OVERFLOW": 22,
    "DECOMPRESSION_FAILURE": 30, "HANDSHAKE_FAILURE": 40, "BAD_CERTIFICATE": 42, "UNSUPPORTED_CERTIFICATE": 43,
    "CERTIFICATE_REVOKED": 44, "CERTIFICATE_EXPIRED": 45, "CERTIFICATE_UNKNOWN": 46, "ILLEGAL_PARAMETER": 47,
    "UNKNOWN_CA": 48, "ACCESS_DENIED": 49, "DECODE_ERROR": 50, "DECRYPT_ERROR": 51, "PROTOCOL_VERSION": 70,
    "INSUFFICIENT_SECURITY": 71, "INTERNAL_ERROR": 80, "USER_CANCELLED": 90, "NO_RENEGOTIATION": 100,
    "UNSUPPORTED_EXTENSION": 110, "CERTIFICATE_UNOBTAINABLE": 111, "UNRECOGNIZED_NAME": 112,
    "BAD_CERTIFICATE_STATUS_RESPONSE": 113, "BAD_CERTIFICATE_HASH_VALUE": 114, "UNKNOWN_PSK_IDENTITY": 115,
}  # fmt: skip
_OPTIONS: Final = {
    "ALL": 0x80000050, "CIPHER_SERVER_PREFERENCE": 1 << 22, "ENABLE_KTLS": 1 << 3, "ENABLE_MIDDLEBOX_COMPAT": 1 << 20,
    "IGNORE_UNEXPECTED_EOF": 1 << 7, "LEGACY_SERVER_CONNECT": 1 << 2, "NO_COMPRESSION": 1 << 17,
    "NO_RENEGOTIATION": 1 << 30, "NO_SSLv2": 0, "NO_SSLv3": 1 << 25, "NO_TICKET": 1 << 14, "NO_TLSv1": 1 << 26,
    "NO_TLSv1_1": 1 << 28, "NO_TLSv1_2": 1 << 27, "NO_TLSv1_3": 1 << 29, "SINGLE_DH_USE": 0, "SINGLE_ECDH_USE": 0,
}  # fmt: skip
_ERRORS: Final = {
    "SSL": 1, "WANT_READ": 2, "WANT_WRITE": 3, "WANT_X509_LOOKUP": 4, "SYSCALL": 5, "ZERO_RETURN": 6,
    "WANT_CONNECT": 7, "EOF": 8, "INVALID_ERROR_CODE": 10,
}  # fmt: skip
_CONSTANTS: Final[dict[str, Any]] = {
    "CERT_NONE": 0, "CERT_OPTIONAL": 1, "CERT_REQUIRED": 2, "ENCODING_DER": 2, "ENCODING_PEM": 1,
    "HAS_ALPN": True, "HAS_ECDH": True, "HAS_NPN": False, "HAS_PHA": True, "HAS_PSK": True, "HAS_SNI": True,
    "HAS_SSLv2": False, "HAS_SSLv3": False, "HAS_TLSv1": True, "HAS_TLSv1_1": True, "HAS_TLSv1_2": True,
    "HAS_TLSv1_3": True, "HAS_TLS_UNIQUE": True, "HOSTFLAG_ALWAYS_CHECK_SUBJECT": 1,
    "HOSTFLAG_MULTI_LABEL_WILDCARDS": 8, "HOSTFLAG_NEVER_CHECK_SUBJECT": 32, "HOSTFLAG_NO_PARTIAL_WILDCARDS": 4,
    "HOSTFLAG_NO_WILDCARDS": 2, "HOSTFLAG_SINGLE_LABEL_SUBDOMAINS": 16, "OPENSSL_VERSION": "none (Holdfast)",
    "OPENSSL_VERSION_INFO": (3, 0, 0, 0, 0), "OPENSSL_VERSION_NUMBER": 0x30000000, "PROTOCOL_SSLv23": 2,
    "PROTOCOL_TLS": 2, "PROTOCOL_TLS_CLIENT": 16, "PROTOCOL_TLS_SERVER": 17, "PROTOCOL_TLSv1": 3,
    "PROTOCOL_TLSv1_1": 4, "PROTOCOL_TLSv1_2": 5, "PROTO_MAXIMUM_SUPPORTED": -1, "PROTO_MINIMUM_SUPPORTED": -2,
    "PROTO_SSLv3": 0x300, "PROTO_TLSv1": 0x301, "PROTO_TLSv1_1": 0x302, "PROTO_TLSv1_2": 0x303, "PROTO_TLSv1_3": 0x304,
    "VERIFY_ALLOW_PROXY_CERTS": 1 << 6, "VERIFY_CRL_CHECK_CHAIN": 12, "VERIFY_CRL_CHECK_LEAF": 4, "VERIFY_DEFAULT": 0,
    "VERIFY_X509_PARTIAL_CHAIN": 1 << 19, "VERIFY_X509_STRICT": 1 << 5, "VERIFY_X509_TRUSTED_FIRST": 1 << 15,
    "_DEFAULT_CIPHERS": "DEFAULT", "_OPENSSL_API_VERSION": (3, 0, 0, 0, 0),
}  # fmt: skip
# The two purposes that `ssl` itself looks up: NID, short name, long name, OID.
_OBJECTS: Final = (
    (129, "serverAuth", "TLS Web Server Authentication", "1.3.6.1.5.5.7.3.1"),
    (130, "clientAuth", "TLS Web Client Authentication", "1.3.6.1.5.5.7.3.2"),
)
_SETTINGS: Final = (
    "_host_flags", "_msg_callback", "check_hostname", "keylog_filename", "maximum_version", "minimum_version",
    "num_tickets", "options", "post_handshake_auth", "protocol", "security_level", "sni_callback", "verify_flags",
    "verify_mode",
)  # fmt: skip
_CLIENT: Final = _CONSTANTS["PROTOCOL_TLS_CLIENT"]


class SSLError(OSError):
    """An error of TLS."""


class SSLZeroReturnError(SSLError):
    """The connection was closed in order."""


class SSLWantReadError(SSLError):
    """More must be read first."""


class SSLWantWriteError(SSLError):
    """More must be written first."""


class SSLSyscallError(SSLError):
    """The system refused."""


class SSLEOFError(SSLError):
    """The connection broke off."""


class SSLCertVerificationError(SSLError, ValueError):
    """A certificate is not trusted."""


class _SSLContext:
    """The settings of connections that are never made."""

    __slots__ = ("__weakref__", *_SETTINGS)

    def __new__(cls, protocol: int) -> _SSLContext:
        self = super().__new__(cls)
        settings: dict[str, Any] = {
            "protocol": protocol,
            "check_hostname": protocol == _CLIENT,
            "verify_mode": _CONSTANTS["CERT_REQUIRED" if protocol == _CLIENT else "CERT_NONE"],
            "verify_flags": _CONSTANTS["VERIFY_X509_TRUSTED_FIRST"],
            "options": _OPTIONS["ALL"] | _OPTIONS["NO_SSLv3"] | _OPTIONS["NO_COMPRESSION"],
            "minimum_version": _CONSTANTS["PROTO_TLSv1_2"],
            "maximum_version": _CONSTANTS["PROTO_MAXIMUM_SUPPORTED"],
            "post_handshake_auth": False,
            "num_tickets": 2,
            "security_level": 2,
            "_host_flags": _CONSTANTS["HOSTFLAG_NO_PARTIAL_WILDCARDS"],
        }
        for name in _SETTINGS:
            vars(_SSLContext)[name].__set__(self, settings.get(name))  # `ssl.SSLContext` has properties of these names
        return self

    def _take(self, *_: Any, **__: Any) -> None:
        """Settings for a connection."""

    _set_alpn_protocols = load_cert_chain = load_dh_params = load_verify_locations = _take
    set_ciphers = set_default_verify_paths = set_ecdh_curve = set_psk_client_callback = set_psk_server_callback = _take

    def get_ca_certs(self, binary_form: bool = False) -> list[Any]:
        """None."""
        return []

    def get_ciphers(self) -> list[Any]:
        """None."""
        return []

    def cert_store_stats(self) -> dict[str, int]:
        """Nothing."""
        return {"x509": 0, "crl": 0, "x509_ca": 0}

    def session_stats(self) -> dict[str, int]:
        """Nothing."""
        return {}

    _wrap_socket = _wrap_bio = refusing(no_network, "ssl: a connection")


class MemoryBIO:
    """Would hold what a connection reads or writes."""

    __init__ = refusing(no_network, "ssl.MemoryBIO()")


class SSLSession:
    """Of a connection."""


class Certificate:
    """Of a connection."""


def RAND_bytes(count: int) -> bytes:  # noqa: N802  (OpenSSL's name)
    """Random bytes."""
    return os.urandom(count)


def txt2obj(txt: str, name: bool = False) -> tuple[int, str, str, str]:
    """An object by its OID, or by any of its names."""
    for each in _OBJECTS:
        if txt == each[3] or (name and txt in each[1:3]):
            return each
    raise ValueError(f"unknown object {txt!r:.100}")


def nid2obj(nid: int) -> tuple[int, str, str, str]:
    """An object by its number."""
    for each in _OBJECTS:
        if nid == each[0]:
            return each
    raise ValueError(f"unknown NID {nid}")


def make_module() -> ModuleType:
    """The module `_ssl`."""
    module = ModuleType("_ssl", __doc__)
    names = vars(module)
    here = vars(sys.modules[__name__])
    for each in (
        "SSLError", "SSLZeroReturnError", "SSLWantReadError", "SSLWantWriteError", "SSLSyscallError", "SSLEOFError",
        "SSLCertVerificationError", "_SSLContext", "MemoryBIO", "SSLSession", "Certificate", "RAND_bytes", "txt2obj",
        "nid2obj",
    ):  # fmt: skip
        names[each] = here[each]
        if isinstance(here[each], type):
            here[each].__module__ = "ssl"
    names |= _CONSTANTS
    names |= {f"ALERT_DESCRIPTION_{name}": number for name, number in _ALERTS.items()}
    names |= {f"OP_{name}": number for name, number in _OPTIONS.items()}
    names |= {f"SSL_ERROR_{name}": number for name, number in _ERRORS.items()}
    names["RAND_status"] = lambda: True
    names["RAND_add"] = lambda text, entropy: None
    names["get_default_verify_paths"] = lambda: ("SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    return module
