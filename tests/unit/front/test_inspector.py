"""The inspector's files, and signing in to it, over real sockets. What it shows: `tests/outside/test_inspector.py`."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.front import ui
from holdfast_host.front.functions.handshakes import read_accepted
from holdfast_host.front.http.page_cookie import COOKIE, SECURE_COOKIE, is_page_cookie, without_page_cookie
from holdfast_host.front.ui.pages import page_files
from holdfast_host.wire.control.edge import Edge
from tests.unit.front.stage import Response, Stage, staged
from tests.unit.front.test_function_hosts import HOST, asked, deploy

STATIC = Path(ui.__file__).with_name("static")
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
TOKEN = "s3cret;a=b"
KEPT = f"{COOKIE}={base64.urlsafe_b64encode(TOKEN.encode()).decode()}"
# Each makes markup or a program of a text, or has a page ask elsewhere.
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|setHTML"
    r"|\beval\b|new Function|javascript:|\bstyle=|\bon[a-z]+=\"|setAttribute\(\"on|@import|url\("
)


@pytest.mark.parametrize("name", FILES)
def test_no_file_of_the_page_makes_markup_of_a_text_or_asks_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text()
    assert UNSAFE.findall(text) == []
    assert [each for each in re.findall(r"https?://[^\s\"'`]+", text) if "www.w3.org" not in each] == []


@pytest.mark.parametrize("name", FILES)
def test_no_module_of_the_page_grows_past_what_is_read_in_one_piece(name: str) -> None:
    assert len((STATIC / name).read_text().splitlines()) <= 400


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_under_its_policy_and_not_again_while_it_is_the_same(name: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            home = name == "index.html"
            target = "/ui" if home else f"/ui/{page_files().digest}/{name}"
            first = await stage.ask("GET", target)
            assert first.status == 200
            assert home or first.body == (STATIC / name).read_bytes()
            policy = first.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert {"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} <= set(policy.split("; "))
            assert first.headers["x-content-type-options"] == "nosniff"
            assert first.headers["referrer-policy"] == "no-referrer"
            assert ("immutable" in first.headers["cache-control"]) is not home
            again = await stage.ask("GET", target, if_none_match=first.headers["etag"])
            assert (again.status, again.body) == (304, b"")

    uvloop.run(play())


def test_the_page_names_its_files_by_the_hash_of_all_and_one_of_an_earlier_release_keeps_none() -> None:
    async def play() -> None:
        async with staged() as stage:
            page = (await stage.ask("GET", "/ui")).body.decode()
            named = re.findall(r'(?:href|src)="(/ui/[^"]+)"', page)
            assert named
            assert all(each.startswith(f"/ui/{page_files().digest}/") for each in named)
            for each in named:
                assert (await stage.ask("GET", each)).status == 200, each
            earlier = await stage.ask("GET", "/ui/0123456789abcdef/app.js")
            assert (earlier.status, earlier.headers["cache-control"]) == (200, "no-cache")

    uvloop.run(play())


@pytest.mark.parametrize(
    "target", ["/ui/x", "/ui/x/none.js", "/ui/x/pages/none.js", "/ui/x/pages", "/ui/x/..%2Fpages.py", "/ui/x/%2e%2e"]
)
def test_what_is_no_file_of_the_page_is_not_served(target: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            assert (await stage.ask("GET", target)).status == 404

    uvloop.run(play())


def test_a_browser_is_led_to_the_inspector_and_a_program_is_not() -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            led = await stage.ask("GET", "/", Accept="text/html,*/*;q=0.8")
            assert (led.status, led.headers["location"]) == (303, "/ui")
            told = await stage.ask("GET", "/", Accept="*/*")
            assert (told.status, told.error) == (404, "UnknownRouteError")

    uvloop.run(play())


def test_a_host_that_serves_no_inspector_has_nothing_of_it() -> None:
    async def play() -> None:
        async with staged(ui=False) as stage:
            for target in ("/", "/ui", "/ui/app.js"):
                answer = await stage.ask("GET", target, Accept="text/html")
                assert (answer.status, answer.error) == (404, "UnknownRouteError"), target
            assert (await stage.ask("POST", "/ui/session")).status == 404

    uvloop.run(play())


async def ask_as_page(stage: Stage, **headers: str) -> Response:
    usual = {"Cookie": f"other=1; {KEPT}", "Holdfast-Inspector": "1", "Sec-Fetch-Site": "same-origin"}
    given = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await stage.ask("GET", "/v1/actors", b"", **{name: value for name, value in given.items() if value})


def test_signing_in_takes_the_token_and_keeps_it_where_scripts_and_functions_cannot_read_it() -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            answer = await stage.ask("POST", "/ui/session", Authorization=f"Bearer {TOKEN}")
            assert answer.status == 200
            assert KEPT in answer.headers["set-cookie"]
            assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["set-cookie"].split("; "))
            assert re.findall(r"Path=(\S+);", answer.headers["set-cookie"]) != ["/"]
            assert (await ask_as_page(stage)).status == 200
            out = await stage.ask("DELETE", "/ui/session")
            assert (out.status, "Max-Age=0" in out.headers["set-cookie"]) == (200, True)

    uvloop.run(play())


def test_over_https_a_page_of_a_sub_domain_cannot_set_the_cookie() -> None:
    """Its script may set any cookie for the domain above it but one whose name begins with `__Host-`."""

    async def play() -> None:
        edge = Edge(trusted_proxies=("127.0.0.1",))
        async with staged(token=TOKEN, edge=edge) as stage:
            https = {"X-Forwarded-Proto": "https"}
            signed_in = await stage.ask("POST", "/ui/session", b"", Authorization=f"Bearer {TOKEN}", **https)
            kept = signed_in.headers["set-cookie"]
            assert kept.startswith(f"{SECURE_COOKIE}=")
            assert set(kept.split("; ")[1:]) == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}  # as browsers ask
            theirs = kept.partition(";")[0].removeprefix("__Host-")  # what that page could set
            assert (await ask_as_page(stage, Cookie=theirs, **https)).status == 401
            assert (await ask_as_page(stage, Cookie=f"{theirs}; {kept.partition(';')[0]}", **https)).status == 200
            out = await stage.ask("DELETE", "/ui/session", b"", **https)
            assert out.headers["set-cookie"].startswith(f"{SECURE_COOKIE}=; ")
            assert "Max-Age=0" in out.headers["set-cookie"]

    uvloop.run(play())


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {TOKEN}"])
def test_signing_in_with_anything_else_keeps_nothing(authorization: str) -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            headers = {"Authorization": authorization} if authorization else {}
            answer = await stage.ask("POST", "/ui/session", b"", **headers)
            assert (answer.status, answer.error) == (401, "UnauthorizedError")
            assert "set-cookie" not in answer.headers

    uvloop.run(play())


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Holdfast_Inspector": ""}, 401),
        ({"Sec_Fetch_Site": "none"}, 401),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "", "Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "", "Origin": "null"}, 403),
        ({"Cookie": ""}, 401),
        ({"Cookie": f"{COOKIE}=%%%"}, 401),
        ({"Cookie": f"{COOKIE}=d3Jvbmc="}, 401),
        ({"Sec_Fetch_Site": ""}, 200),
    ],
    ids=lambda value: "-".join(f"{name}={text[:12]}" for name, text in value.items()) if type(value) is dict else None,
)
def test_the_cookie_counts_only_where_the_page_itself_asks(changed: dict[str, str], status: int) -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            assert (await ask_as_page(stage, **changed)).status == status

    uvloop.run(play())


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_a_page_that_may_use_the_api_may_not_use_the_cookie(site: str) -> None:
    """Of another origin that `--cors-origin` lists: it shows a token of its own."""

    async def play() -> None:
        origin = "http://localhost:3000"
        async with staged(token=TOKEN, edge=Edge(cors_origins=(origin,))) as stage:
            answer = await ask_as_page(stage, Origin=origin, Sec_Fetch_Site=site)
            assert (answer.status, answer.error) == (401, "UnauthorizedError")
            allowed = await ask_as_page(stage, Origin=origin, Sec_Fetch_Site=site, Authorization=f"Bearer {TOKEN}")
            assert allowed.status == 200

    uvloop.run(play())


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_other_site_signs_anybody_in_or_out(site: str) -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            headers = {"Authorization": f"Bearer {TOKEN}", "Sec-Fetch-Site": site}
            for method in ("POST", "DELETE"):
                answer = await stage.ask(method, "/ui/session", b"", **headers)
                assert (answer.status, "set-cookie" in answer.headers) == (403, False)

    uvloop.run(play())


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (f"a=1; {KEPT}; b=2", "a=1; b=2"),
        (f"{KEPT}; b=2", "b=2"),
        (KEPT, None),
        ("a=1", "a=1"),
        (f"x{KEPT}", f"x{KEPT}"),
        (f"a=1; __Host-{KEPT}; {KEPT}", "a=1"),
    ],
    ids=["between", "first", "alone", "none", "another's", "over HTTPS"],
)
def test_guests_are_never_shown_the_cookie(sent: str, seen: str | None) -> None:
    assert without_page_cookie(("Cookie", sent)) == (None if seen is None else ("Cookie", seen))


@pytest.mark.parametrize("target", ["/", "/fn/web/"])
def test_no_guest_sets_the_cookie(target: str) -> None:
    """Who would look at the inspector with the token of another were seen by that one, and acted as that one."""
    mine = ["Set-Cookie", "mine=holdfast_token; Path=/"]
    theirs = [
        [name, f"{cookie}{value}; Path=/v1"]
        for name, value in [("Set-Cookie", "=eA=="), ("set-cookie", " =")]
        for cookie in (COOKIE, SECURE_COOKIE)
    ]
    reply = {"status": 200, "headers": [*theirs, mine], "body": ""}

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            host = HOST if target == "/" else "127.0.0.1"
            _, _, answer = await asked(stage, "GET", target, b"", json.dumps(reply).encode(), host=host)
            assert answer.headers["set-cookie"] == mine[1]

    uvloop.run(play())


def test_no_guest_sets_the_cookie_with_an_event_stream() -> None:
    reply = {
        "headers": [["Set-Cookie", f"{COOKIE}=eA==; Path=/v1"], ["X-Own", "1"]],
        "socket": {"type": "A", "name": "b"},
    }
    accepted = read_accepted(json.dumps(reply).encode(), Limits(), "a test")

    assert accepted is not None
    assert accepted.headers == [("X-Own", "1")]


@pytest.mark.parametrize(
    "value",
    [f"{{}}{COOKIE}=x", f"{{}} {SECURE_COOKIE} =x; Path=/", f"{{}}{COOKIE}"],
    ids=["plain", "secure", "without a value"],
)
@pytest.mark.parametrize("before", ["", "=", " = ", "\t=\t="])
def test_no_guest_sets_our_cookie_by_a_cookie_without_a_name(value: str, before: str) -> None:
    """Browsers send the value of such a cookie alone."""
    assert is_page_cookie("Set-Cookie", value.format(before))
    assert not is_page_cookie("Set-Cookie", value.format("mine="))
