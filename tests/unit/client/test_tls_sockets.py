"""Sockets of the client over TLS: they trust whom its calls trust."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import certifi
import pytest

from holdfast.client import AsyncClient, Client, _clients


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(("url", "uri"), [("https://h", "wss://h/"), ("http://h", "ws://h/")])
def test_a_socket_trusts_the_authority_that_the_client_was_given(
    monkeypatch: pytest.MonkeyPatch, kind: type[Client] | type[AsyncClient], url: str, uri: str
) -> None:
    asked: dict[str, Any] = {}
    given: list[Any] = []
    trusted = _clients._trusted

    def noted(ca: Any) -> ssl.SSLContext:
        given.append(ca)
        return trusted(ca)

    monkeypatch.setattr(_clients, "_trusted", noted)
    monkeypatch.setattr(_clients, "websockets_of", lambda kind: SimpleNamespace(connect=asked.update))
    kind(url, ca=certifi.where()).socket("Room", "lobby", "/ws")

    assert asked["uri"].startswith(uri)
    assert given == [certifi.where()]
    assert (asked.get("ssl") is not None) == url.startswith("https")
