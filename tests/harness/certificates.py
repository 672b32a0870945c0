"""Certificates of an authority that only a test trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from holdfast_host.wire.control.edge import Certificate


class Authority:
    """Signs, and is trusted by whoever is given its `trusted()` or its file."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def issue(self, *names: str, common_name: str = "") -> Certificate:
        """A certificate for these names or addresses."""
        made = self._ca.issue_cert(*names, common_name=common_name or None)
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        return Certificate(chain.decode(), made.private_key_pem.bytes().decode())

    def trusted(self) -> ssl.SSLContext:
        """The context of a client that trusts this authority alone."""
        context = ssl.create_default_context(cadata=self._ca.cert_pem.bytes().decode())
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def write(self, folder: Path) -> Path:
        """Its own certificate as a file."""
        path = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(path)
        return path


def write_pair(certificate: Certificate, folder: Path) -> tuple[Path, Path]:
    """The files of certificate and key, each replaced at once; others cannot read the key."""
    for name, text in (("cert.pem", certificate.chain), ("key.pem", certificate.key)):
        fresh = folder / f".{name}"
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(folder / name)
    return folder / "cert.pem", folder / "key.pem"
