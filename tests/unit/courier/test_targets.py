"""URLs, read once, and the patterns that they are held against."""

from __future__ import annotations

import pytest

from holdfast_host.core.errors import OutboundDeniedError
from holdfast_host.core.outbound import Pattern, PatternError, Target, read_origin
from holdfast_host.courier.grants import Grants
from holdfast_host.courier.targets import read_url
from holdfast_host.wire.control.catalog import Outbound


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://api.stripe.com/v1/charges?a=b#c", Target("https", "api.stripe.com", 443, "/v1/charges")),
        ("HTTPS://API.Stripe.COM", Target("https", "api.stripe.com", 443, "/")),
        ("http://[::1]:8080/x", Target("http", "::1", 8080, "/x")),
        ("https://Exämple.com/ü", Target("https", "xn--exmple-cua.com", 443, "/%C3%BC")),
        ("http://2130706433/", Target("http", "2130706433", 80, "/")),
        ("http://\uff11\uff12\uff17.0.0.1/", Target("http", "127.0.0.1", 80, "/")),
        ("https://h.example/v2/../admin", Target("https", "h.example", 443, "/admin", is_plain=False)),
        ("https://h.example/v2/%2e%2E/admin", Target("https", "h.example", 443, "/admin", is_plain=False)),
        ("https://h.example/v2/..%2fadmin", Target("https", "h.example", 443, "/v2/..%2Fadmin", is_plain=False)),
        ("https://h.example/v2/%252e%252e/a", Target("https", "h.example", 443, "/v2/%252e%252e/a", is_plain=False)),
        ("https://h.example/v2/..;/admin", Target("https", "h.example", 443, "/v2/..;/admin", is_plain=False)),
        ("https://h.example/v2/x?redirect=../a%2f", Target("https", "h.example", 443, "/v2/x")),
        ("https://h.example/x?to=https://u@other/", Target("https", "h.example", 443, "/x")),
    ],
)
def test_a_url_is_read_as_it_is_sent(url: str, target: Target) -> None:
    sent, found = read_url(url)

    assert found == target
    assert sent.raw_path == target.path


@pytest.mark.parametrize(
    "url",
    [
        "", "https:", "https:///x", "//h/x", "/x", "ftp://h/", "file:///etc/passwd", "gopher://h/", "unix:/run/x",
        "https://user@h/", "https://user:password@h/", "https://@h/", "https://h\\@evil/", "https://h/a\\b",
        "https://evil%40h/", "https://a%6c/", "https://h:0/", "https://h:99999/", "https://h:80:80/", "https://h /",
        "https://h/ x", "https://h/\r\nX: y", "https://h/\x00", "https://*/", "http://[fe80::1%25eth0]/", "http://[::1",
        "https://h/caf\ud8e9", "https://h/" + "a" * 20_000,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(OutboundDeniedError):
        read_url(url)


@pytest.mark.parametrize("text", ["api.example.com", "ftp://h", "https://", "https://u@h", "https://h/a/../b",
    "https://h/?q", "https://h/a%2f", "https://a.*.b", "https://**.b", "https://h:0", "https://h:99999", "https://[x]",
    "https://h:", "https://ä.com", "none"])  # fmt: skip
def test_what_is_no_pattern_is_refused_by_name(text: str) -> None:
    with pytest.raises(PatternError) as refused:
        Pattern.parse(text)

    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "allowed", "denied"),
    [
        ("https://h.example", ["https://h.example/x", "https://h.example:443/"],
         ["http://h.example/", "https://h.example:8443/", "https://a.h.example/", "https://h.example./", "https://hhexample"]),
        ("https://*.h.example", ["https://a.h.example/", "https://a.b.h.example/"],
         ["https://h.example/", "https://evilh.example/", "https://.h.example/"]),
        ("https://h.example/v2/", ["https://h.example/v2/", "https://h.example/v2/a/b"],
         ["https://h.example/v2", "https://h.example/v22", "https://h.example/v2/../admin",
          "https://h.example/v2/%2e%2e/admin", "https://h.example/v2/%252e%252e/admin",
          "https://h.example/v2/..%2fadmin", "https://h.example/v2/a%5c..%5cb",
          "https://h.example/v2/..;/admin", "https://h.example/v2/%2E./x"]),
        ("https://h.example/v2", ["https://h.example/v2", "https://h.example/v2/a"], ["https://h.example/v22"]),
        ("http://[::1]:8080", ["http://[0:0::1]:8080/"], ["http://[::1]/", "http://[::2]:8080/"]),
        ("https://*", ["https://h.example:8443/", "https://[2606:4700::1]/"], ["http://h.example/"]),
    ],
)  # fmt: skip
def test_a_pattern_allows_what_it_says_and_nothing_else(pattern: str, allowed: list[str], denied: list[str]) -> None:
    grants = Grants(["https://*", "http://*"])
    grants.set_functions({"f": Outbound((pattern,))})

    for url in allowed:
        _, target = read_url(url)
        grants.check("f", target)
    for url in denied:
        with pytest.raises(OutboundDeniedError):
            grants.check("f", read_url(url)[1])


def test_what_the_manifest_lists_the_operator_must_allow_too() -> None:
    grants = Grants(["https://*.good.example"])
    grants.set_functions({"f": Outbound(("https://*",)), "g": Outbound(("https://a.good.example",))})
    _, good = read_url("https://b.good.example/")
    _, other = read_url("https://other.example/")

    grants.check("f", good)
    with pytest.raises(OutboundDeniedError, match="--outbound"):
        grants.check("f", other)
    with pytest.raises(OutboundDeniedError, match=r"\[outbound\] allow of g, which lists: https://a.good.example"):
        grants.check("g", good)
    with pytest.raises(OutboundDeniedError, match="lists: nothing"):
        grants.check("unknown", good)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("https://*", "https://*.example.com:8443/v2/", True),
        ("https://*", "http://h", False),
        ("https://*.example.com", "https://a.example.com/x", True),
        ("https://*.example.com", "https://*.a.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://a.example.com", "https://*.example.com", False),
        ("https://h/v2/", "https://h/v2/users/", True),
        ("https://h/v2/", "https://h", False),
        ("https://h", "https://h:8443", False),
    ],
)
def test_a_pattern_covers_what_matches_no_more_than_it_does(wide: str, narrow: str, covered: bool) -> None:
    assert Pattern.parse(wide).covers(Pattern.parse(narrow)) is covered


def test_an_origin_has_one_spelling() -> None:
    assert read_origin("https://API.example.com:443/") == "https://api.example.com"
    assert read_origin("http://[0::1]:81") == "http://[::1]:81"
    for text in ("https://*.h", "https://h/v2", "https://*"):
        with pytest.raises(PatternError):
            read_origin(text)
