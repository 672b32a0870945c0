"""The inspector in a real browser, before a real host: pages, actions, and what it must withstand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import inspected
from tests.harness.browser import Browser, Page, chromium
from tests.harness.caller import Caller
from tests.harness.host import HostProcess
from tests.harness.inspected import PAGES, text_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="`make apt` installs chromium"),
]

AXE = Path(__file__).parents[1] / "harness" / "axe" / "axe.min.js"
TOKEN = "a-token-of-a-test"
HOSTILE = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>\u202egnp.exe\u0000\u001b[31m'
SAID = text_of("#said")
VIOLATIONS = "(report) => report.violations.map((each) => [each.id, each.nodes.map((node) => node.html)])"
DIALOG = "document.querySelector('dialog[open]') !== null"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host without a token, with something everywhere."""
    with inspected.inspected(tmp_path_factory.mktemp("inspected") / "data") as host:
        yield host


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    """One page for all, which each test has show what it wants."""
    page = browser.open("about:blank")
    page.look("light", 1280)
    return page


@pytest.fixture
def caller(host: HostProcess) -> Iterator[Caller]:
    with host.caller() as caller:
        yield caller


def show(page: Page, host: HostProcess, where: str) -> None:
    inspected.show(page, host, where)
    page.run("window.addEventListener('unhandledrejection', (event) => { window.unhandled = String(event.reason) })")


def click(page: Page, text: str, within: str = "body") -> None:
    """Press the button that says so, once it is there."""
    found = f"[...document.querySelectorAll({json.dumps(within + ' button')})].find((each) => each.innerText === "
    page.until(f"({found}{json.dumps(text)})) !== undefined")
    page.run(f"{found}{json.dumps(text)}).click()")


def write(page: Page, selector: str, text: str, event: str = "input") -> None:
    """Have a control say that, once it is there."""
    page.until(f"document.querySelector({json.dumps(selector)}) !== null")
    happen = f"found.dispatchEvent(new Event('{event}', {{bubbles: true}}))"
    page.run(
        f"((found) => {{ found.value = {json.dumps(text)}; {happen} }})(document.querySelector({json.dumps(selector)}))"
    )


def texts(page: Page, selector: str) -> Any:
    return page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.innerText.trim())")


def has_text(selector: str, text: str) -> str:
    return f"({text_of(selector)} ?? '').includes({json.dumps(text)})"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out_and_each_fits_a_phone(host: HostProcess, browser: Browser, scheme: str) -> None:
    """Contrast, names, order and focus of each page, as axe-core judges them by WCAG 2.2 A and AA."""
    page = browser.open("about:blank")
    wanted = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found: dict[str, Any] = {}
    for name, (where, ready) in PAGES.items():
        page.look(scheme, 1280)
        show(page, host, where)
        page.until(ready)
        page.run(AXE.read_text())
        report = page.await_value(f"axe.run(document, {json.dumps(wanted)}).then({VIOLATIONS})")
        if report:
            found[name] = report
        page.look(scheme, 360)
        page.until("innerWidth <= 360")
        wide = page.run("document.documentElement.scrollWidth")
        if wide > 360:
            found[f"{name} on a phone"] = wide
    page.close()
    assert found == {}


def test_the_overview_shows_what_goes_on_and_errors_by_name(host: HostProcess, page: Page, caller: Caller) -> None:
    show(page, host, "")
    page.until(has_text(".state", "ready"))
    page.until(has_text(".halves", "ActorMethodError"))
    before = int(page.run(text_of(".facts dd")).replace(",", ""))
    caller.value("Probe", "alice", "nothing")
    page.until(f"Number({text_of('.facts dd')}.replaceAll(',', '')) >= {before + 1}")
    page.until("document.querySelector('.line.one').getAttribute('d').includes('L')")
    assert texts(page, ".chart h2") == ["Calls a second", "Latency", "Turns in a commit", "Memory"]


def test_nothing_of_the_overview_moves_once_it_is_there(host: HostProcess, page: Page) -> None:
    show(page, host, "")
    page.until("document.querySelector('.line.one').getAttribute('d').includes('L')")
    moved = page.await_value(
        "new Promise((tell) => new PerformanceObserver((list) => tell(list.getEntries().reduce((sum, each) => "
        "sum + each.value, 0))).observe({type: 'layout-shift', buffered: true}) ?? setTimeout(() => tell(0), 300))"
    )
    assert moved < 0.01


def test_a_rollback_says_what_it_breaks_before_it_is_done(host: HostProcess, page: Page, caller: Caller) -> None:
    show(page, host, "functions/probe")
    click(page, "Roll back …")
    page.until(DIALOG)
    assert "the actor type Fragile, which has instances, is gone" in page.run(text_of("dialog"))
    click(page, "Cancel", "dialog")
    assert caller.request("GET", "/v1/functions/probe").value["version"] == 2
    click(page, "Roll back …")
    click(page, "Roll back to version 1", "dialog")
    page.until(has_text("#said", "runs version 1"))
    assert caller.request("GET", "/v1/functions/probe").value["version"] == 1
    click(page, "Roll back …")
    click(page, "Roll back to version 2", "dialog")
    page.until(has_text("#said", "runs version 2"))


def test_types_are_shown_as_their_authors_wrote_them(host: HostProcess, page: Page) -> None:
    show(page, host, "types")
    assert {"Probe", "Fragile", "Purse", "Room"} <= set(texts(page, "h2"))
    show(page, host, "types/Probe")
    assert "arm(token: int, in_s: float) -> None\n" in page.run(text_of(".methods"))
    assert "Set the alarm, and remember for which token." in page.run(text_of(".methods"))


def test_instances_are_found_by_the_begin_of_their_names_a_page_at_a_time(host: HostProcess, page: Page) -> None:
    show(page, host, "instances/Probe")
    write(page, "input[type=search]", "user-")
    page.until(f"{text_of('.pager .hint')} === '1 to 100'")
    page.until("document.querySelector('tbody td').innerText.trim() === 'user-0000'")
    click(page, "Next")
    page.until(f"{text_of('.pager .hint')} === '101 to 120'")
    click(page, "Previous")
    page.until(f"{text_of('.pager .hint')} === '1 to 100'")
    write(page, "input[type=search]", "user-0007")
    page.until("document.querySelectorAll('tbody tr').length === 1")
    write(page, "input[type=search]", "nobody")
    page.until(has_text(".empty", "No name begins so"))
    click(page, "Open this name")
    page.until("location.hash === '#/instances/Probe/nobody'")


def test_a_million_instances_are_searched_and_paged_as_few_are(host: HostProcess, page: Page) -> None:
    show(page, host, "instances/Fragile")
    page.until(f"{text_of('.pager .hint')} === '1 to 100'")
    write(page, "input[type=search]", "vase-09999")
    page.until("document.querySelector('tbody td')?.innerText.trim() === 'vase-0999900'")
    page.until("document.querySelectorAll('tbody tr').length === 100")
    page.until("[...document.querySelectorAll('.pager button')].at(-1).disabled")
    write(page, "input[type=search]", "vase-")
    page.until("document.querySelector('tbody td')?.innerText.trim() === 'vase-0000000'")
    click(page, "Next")
    page.until(f"{text_of('.pager .hint')} === '101 to 200'")
    assert page.run("document.querySelectorAll('main *').length") < 1_000


def test_a_key_is_added_watched_edited_and_deleted(host: HostProcess, page: Page, caller: Caller) -> None:
    show(page, host, "instances/Probe/edited")
    page.until(has_text(".empty", "Nothing is stored"))
    click(page, "Add a key …")
    page.until(DIALOG)
    write(page, "dialog input", "added")
    write(page, "dialog textarea", '{"$hf":"decimal","v":"1.10"}')
    click(page, "Save", "dialog")
    page.until(has_text("tbody", '{"$hf":"decimal","v":"1.10"}'))
    caller.value("Probe", "edited", "put", "added", 12345678901234567890)
    page.until(has_text("tbody .value", "12345678901234567890"))
    page.until("document.querySelector('tr.changed') !== null")
    click(page, "added", "tbody")
    page.until("document.querySelector('dialog textarea')?.value === '12345678901234567890'")
    write(page, "dialog textarea", "{not json")
    click(page, "Save", "dialog")
    page.until("document.querySelector('dialog .problem').innerText !== ''")
    assert page.run(DIALOG)
    caller.value("Probe", "edited", "put", "added", 7)
    write(page, "dialog textarea", "98765432109876543210")
    click(page, "Save", "dialog")
    page.until(has_text("dialog .problem", "It has changed since you opened it. Save again to write over 7."))
    assert caller.value("Probe", "edited", "get", "added") == 7
    click(page, "Save", "dialog")
    page.until(has_text("tbody .value", "98765432109876543210"))
    assert caller.value("Probe", "edited", "get", "added") == 98765432109876543210
    click(page, "added", "tbody")
    click(page, "Delete", "dialog")
    page.until(has_text(".empty", "Nothing is stored"))


def test_a_key_that_is_there_is_not_written_over_unseen(host: HostProcess, page: Page, caller: Caller) -> None:
    caller.value("Probe", "taken", "put", "mine", 1)
    show(page, host, "instances/Probe/taken")
    page.until("document.querySelector('.value') !== null")
    click(page, "Add a key …")
    page.until(DIALOG)
    write(page, "dialog input", "mine")
    write(page, "dialog textarea", "2")
    click(page, "Save", "dialog")
    page.until(has_text("dialog .problem", "A key of this name is there already."))
    assert caller.value("Probe", "taken", "get", "mine") == 1
    page.run("location.hash = '#/instances/Probe'")
    page.until(f"!({DIALOG})")  # the question was of the page that it stood on


def test_a_method_is_called_with_what_its_form_says(host: HostProcess, page: Page, caller: Caller) -> None:
    show(page, host, "instances/Purse/called/call")
    write(page, "form select", "deposit", "change")
    page.until("document.querySelector('form input[inputmode=numeric]') !== null")
    write(page, "form input", "many")
    click(page, "Call", "form")
    page.until(has_text("[role=status] .badge", "not sent"))
    write(page, "form input", "30")
    click(page, "Call", "form")
    page.until(has_text("pre", "30"))
    assert "200" in page.run(text_of("section .badge"))
    assert caller.value("Purse", "called", "balance")["balance"] == 30
    show(page, host, "instances/Probe/called/call")
    write(page, "form select", "raise_only", "change")
    click(page, "Call", "form")
    page.until(has_text("section .badge", "500 ActorMethodError"))
    assert "ValueError: raised on purpose" in page.run(text_of("pre"))


def test_an_alarm_is_set_and_cleared(host: HostProcess, page: Page, caller: Caller) -> None:
    caller.value("Probe", "rung", "put", "n", 1)
    show(page, host, "instances/Probe/rung/alarm")
    write(page, "input[type=datetime-local]", "2099-01-01T10:00:00")
    click(page, "Set it")
    page.until(has_text(".panel", "armed"))
    assert caller.request("GET", "/v1/instances/Probe/rung/alarm").value["due"].startswith("2099-01-01T")
    click(page, "Clear it")
    page.until(has_text(".panel", "No alarm is set"))
    assert caller.request("GET", "/v1/instances/Probe/rung/alarm").value is None


def test_alarms_and_jobs_are_listed_by_state_and_a_job_is_cancelled(
    host: HostProcess, page: Page, caller: Caller
) -> None:
    show(page, host, "work/alarms/armed")
    page.until(has_text("tbody", "Probe/alice"))
    show(page, host, "work/alarms/abandoned")
    page.until(has_text(".empty", "No alarms in this state"))
    caller.value("Purse", "cancelled", "remind", 86_400, "rent")
    show(page, host, "instances/Purse/cancelled/jobs")
    click(page, "Cancel …")
    click(page, "Cancel the job", "dialog")
    page.until(has_text(".panel", "No jobs"))
    assert caller.value("Purse", "cancelled", "jobs") == []


def test_who_is_quarantined_is_listed_and_released(host: HostProcess, page: Page) -> None:
    """Whom the host lists is played: to be quarantined takes a row of dead workers."""
    show(page, host, "work")
    page.until(has_text(".empty", "Nobody is quarantined"))
    row = {"function": "probe", "type": "Probe", "name": "killer", "version": 2, "what": "instance", "died_at": None}
    answer = json.dumps({"quarantined": [row], "cursor": None})
    page.run("window.asked = []; window.real = window.fetch; window.fetch = (where, how) => { asked.push(how.method + "
             f"' ' + where); return Promise.resolve(new Response({json.dumps(answer)})); }}")  # fmt: skip
    click(page, "Look again")
    page.until(has_text("tbody", "Probe/killer"))
    click(page, "Release")
    page.until("asked.includes('POST /v1/instances/Probe/killer/release')")


def test_a_socket_is_listed_and_closed(host: HostProcess, page: Page, caller: Caller) -> None:
    show(page, host, "instances/Room/lobby/sockets")
    page.until(has_text("tbody", "user:ann"))
    click(page, "Close …")
    page.until(DIALOG)
    page.press("Escape")
    page.until(f"!({DIALOG})")
    assert len(caller.request("GET", "/v1/instances/Room/lobby/sockets").value["sockets"]) == 1


def test_the_log_is_live_and_filtered(host: HostProcess, page: Page, caller: Caller) -> None:
    show(page, host, "log")
    write(page, "input[type=search]", "talker")
    page.until("document.querySelectorAll('.log li').length === 0")
    caller.value("Probe", "silent", "say", 1, "of another")
    caller.value("Probe", "talker", "say", 1, "of this one")
    page.until(has_text(".log", "of this one"))
    assert "of another" not in page.run(text_of(".log"))


def test_an_instance_is_evicted_and_erased_only_by_its_name(host: HostProcess, page: Page, caller: Caller) -> None:
    caller.value("Probe", "gone soon", "put", "n", 1)
    show(page, host, "instances/Probe/gone%20soon")
    page.until(has_text(".facts", "in memory"))
    click(page, "Evict")
    page.until(has_text(".facts", "on disk"))
    click(page, "Erase …")
    page.until(DIALOG)
    write(page, "dialog input", "gone")
    assert page.run("document.querySelector('dialog .danger').disabled")
    write(page, "dialog input", "gone soon")
    click(page, "Erase for good", "dialog")
    page.until(has_text("#said", "Erased."))
    assert caller.request("GET", "/v1/instances/Probe?prefix=gone").value["instances"] == []


def test_what_is_counted_of_an_instance_stays_until_it_is_counted_again(
    host: HostProcess, page: Page, caller: Caller
) -> None:
    caller.value("Probe", "counted", "put", "key", "value")
    show(page, host, "instances/Probe/counted")
    page.until(has_text(".facts", "in memory"))
    counted = texts(page, ".facts dd")[3:6]
    assert caller.request("POST", "/v1/instances/Probe/counted/evict").value == {"evicted": True}
    page.until(has_text(".facts", "on disk"))  # found by one of the reads that come after, which do not count

    assert texts(page, ".facts dd")[3:6] == counted
    assert counted == ["1", "10 B", "0"]


def test_an_instance_whose_name_hides_something_is_erased_by_what_is_shown_of_it(
    host: HostProcess, page: Page, caller: Caller
) -> None:
    caller.value("Probe", "hid\u202eden", "put", "x", 1)
    show(page, host, "instances/Probe/hid%E2%80%AEden")
    click(page, "Erase …")
    page.until(has_text("dialog bdi", "hid\\u{202e}den"))
    write(page, "dialog input", "hid\\u{202e}den")
    click(page, "Erase for good", "dialog")
    page.until(has_text("#said", "Erased."))
    assert caller.request("GET", "/v1/instances/Probe?prefix=hid").value["instances"] == []


def test_what_strangers_store_and_print_is_shown_as_text(host: HostProcess, page: Page, caller: Caller) -> None:
    name = HOSTILE.replace("\u0000", "")
    caller.value("Probe", name, "put", HOSTILE.replace("\u0000", ""), HOSTILE)
    caller.value("Probe", name, "put", "long", "x" * 1_000_000)
    for start in range(0, 10_000, 2_500):
        caller.value("Probe", name, "put_many", {f"many:{number:05}": number for number in range(start, start + 2_500)})
    caller.value("Probe", name, "say", 1, HOSTILE)
    encoded = page.run(f"encodeURIComponent({json.dumps(name)})")
    for where in ("instances/Probe", f"instances/Probe/{encoded}", f"instances/Probe/{encoded}/log", "log"):
        show(page, host, where)
        page.until(has_text("main", "<script>"))
        assert page.run("window.broken") is None
        assert page.run("document.querySelectorAll('main img, main script').length") == 0
        assert "\\u{202e}" in page.run(text_of("main"))
        assert "\u202e" not in page.run(text_of("main"))
        assert page.run("document.querySelector('main').innerText.length") < 100_000
    show(page, host, f"instances/Probe/{encoded}")
    page.until("document.querySelectorAll('tbody tr').length === 100")
    click(page, "long", "tbody") if "long" in texts(page, "tbody button") else write(page, "input[type=search]", "long")
    page.until(has_text("tbody", "1,000,002 characters"))
    click(page, "long", "tbody")
    page.until(has_text("dialog", "too long to be edited"))
    assert page.run("document.querySelector('dialog textarea').value.length") < 21_000
    assert caller.request("DELETE", f"/v1/instances/Probe/{encoded}").status == 200


def test_a_failure_is_said_where_it_happened_with_a_way_on(host: HostProcess, page: Page) -> None:
    show(page, host, "functions/nothing")
    page.until(has_text(".failure", "no function 'nothing' is deployed"))
    assert page.run(text_of("h1")) == "Functions"
    show(page, host, "instances/Probe/..")
    page.until(has_text(".failure", "use the command line for this name"))
    show(page, host, "functions")
    page.run("window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('network'))")
    page.run("location.hash = '#/types'")
    page.until(has_text(".failure", "The host does not answer"))
    page.run("window.fetch = window.real")
    click(page, "Try again")
    page.until(has_text("main", "Reads, writes, computes"))


def test_the_keyboard_reaches_everything_and_sees_where_it_is(host: HostProcess, page: Page) -> None:
    show(page, host, "instances/Probe/alice")
    page.until("document.querySelector('.value') !== null")
    seen = []
    for _ in range(30):
        page.press("Tab")
        seen.append(page.run("document.activeElement.innerText || document.activeElement.type"))
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle + document.activeElement.tagName")
        assert outline.startswith(("solid", "auto")) or outline.endswith("BODY"), seen
    for wanted in ("Skip to the content", "Functions", "Evict", "Erase …", "Call a method", "search", "Add a key …"):
        assert wanted in seen


def sign_in_as(page: Page, scope: str, refused: str = "false") -> None:
    """Play whose token it is; what the host lets each scope do is tested with the tokens."""
    own = json.dumps({"id": "tok_1", "name": scope, "scope": scope, "types": [], "expires_at": None})
    page.run("window.real = window.fetch; window.refused = []; window.fetch = (where, how) => where === '/v1/token' ? "
             f"Promise.resolve(new Response({json.dumps(own)})) : {refused} ? refused.push(where) && "
             "Promise.resolve(new Response('{}', {status: 403})) : real(where, how); "
             "window.dispatchEvent(new Event('signed-out'))")  # fmt: skip
    page.until("document.querySelector('[name=token]') !== null")


def test_with_a_token_that_may_call_alone_methods_are_called_and_nothing_else_is_asked_for(
    host: HostProcess, page: Page
) -> None:
    show(page, host, "")
    sign_in_as(page, "call", "!['/v1/actors', '/v1/call'].includes(where)")
    page.run("location.hash = '#/'; window.dispatchEvent(new Event('hashchange'))")
    page.until("location.hash === '#/types' && document.querySelector('.view h1') !== null")
    assert texts(page, "#nav a:not([hidden])") == ["Types", "Instances"]
    page.run("location.hash = '#/instances/Purse'")
    write(page, "input[type=search]", "only")
    click(page, "Open this name", "form")
    page.until(has_text(".tabs", "Call a method"))
    assert texts(page, ".tabs a") == ["Call a method"]
    write(page, "form select", "deposit", "change")
    page.until("document.querySelector('form input[inputmode=numeric]') !== null")
    write(page, "form input", "30")
    click(page, "Call", "form")
    page.until(has_text("section .badge", "200"))
    assert page.run("refused") == []


def test_what_a_token_may_not_do_is_not_offered(host: HostProcess, page: Page) -> None:
    show(page, host, "")
    sign_in_as(page, "read")
    for where, ready, hidden in (
        ("instances/Probe/alice", "document.querySelector('.value') !== null", {"Evict", "Erase …", "Add a key …"}),
        ("instances/Purse/ann/jobs", "document.querySelector('table') !== null", {"Retry", "Cancel …"}),
        ("functions/probe", "document.querySelector('table') !== null", {"Roll back …"}),
    ):
        page.run(f"location.hash = '#/{where}'")
        page.until(f"document.querySelector('.view h1') !== null && {ready}")
        buttons = set(texts(page, "button"))
        assert "Sign out read" in buttons
        assert not buttons & hidden


def test_a_host_with_a_token_asks_for_it_and_forgets_it(browser: Browser, tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data", "--workers", "1", environment={"HOLDFAST_TOKEN": TOKEN}) as host:
        page = browser.open(f"{host.url}/")
        page.until("location.pathname === '/ui' && document.querySelector('[name=token]') !== null")
        write(page, "[name=token]", "wrong")
        click(page, "Sign in", "form")
        page.until("(document.querySelector('.problem')?.innerText ?? '') !== ''")
        assert "token" in page.run(text_of(".problem"))
        write(page, "[name=token]", TOKEN)
        click(page, "Sign in", "form")
        page.until(has_text("h1", "Overview"))
        page.until(has_text(".state", "ready"))
        assert page.run("document.cookie") == ""
        assert page.run("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
        page.reload()
        page.until(has_text(".empty", "No calls yet"))
        for where in ("functions", "types", "instances"):
            page.run(f"location.hash = '#/{where}'")
            page.until(has_text(".empty", "holdfast deploy"))
        click(page, "Sign out")
        page.until("document.querySelector('[name=token]') !== null")
        page.reload()
        page.until("document.querySelector('[name=token]') !== null")
        page.close()
