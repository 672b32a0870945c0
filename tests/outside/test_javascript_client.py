"""The JavaScript client against real hosts: in Node and in a page of a real browser."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.harness import components
from tests.harness.browser import chromium
from tests.harness.caller import NoAnswerError
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.javascript import (
    CLIENT,
    PATIENCE_S,
    Run,
    run_in,
    run_in_node,
    run_module_in_node,
    started_in_node,
    type_errors,
)

SET: Final = json.loads((components.PROJECT / "wit" / "values.json").read_text())
TOKEN: Final = "token-of-twenty-characters"
CALL: Final = "const client = new holdfast.Client(given.url), actor = client.actor('Probe', given.name);"
# What fails: its class, and its facts.
FACTS: Final = (
    "const facts = (e) => [e.constructor.name, e.name, e.code ?? null, e.status ?? null, e.retryable ?? null];"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if shutil.which("chromium") is None:
        pytest.skip("`make apt` installs chromium")
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield run_in(browser)


@pytest.fixture(params=["node", "chromium"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a script, in either."""
    if request.param == "node":
        return run_in_node
    runner: Run = request.getfixturevalue("page_runner")
    return runner


@pytest.fixture(scope="module")
def chat_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with a room whose news can be followed; tests end its fronts."""
    with HostProcess(tmp_path_factory.mktemp("chat") / "data") as host:
        deploy(host, components.built(components.GUESTS / "chat"))
        yield host


def until(holds: Callable[[], bool]) -> None:
    """Return once it does; a host that has no front yet does not hold."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(NoAnswerError):
            if holds():
                return
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_each_value_of_the_contract_comes_back_as_it_may(run: Run, probe_host: StartHost) -> None:
    script = """
    const { encode, decode, CodecError } = holdfast
    const read = (text) => { try { return decode(text) } catch (e) { if (e instanceof CodecError) return e; throw e } }
    const values = given.values.map(({ text, back }) => [encode(decode(text)), ...back.map((e) => encode(decode(e)))])
    return { values, taken: given.refused.filter(({ text }) => !(read(text) instanceof CodecError)) }
    """
    done = run(script, probe_host().url, values=SET["values"], refused=SET["refused"])

    for entry, written in zip(SET["values"], done["values"], strict=True):
        assert set(written) <= {*entry["back"]}, entry["means"]
    assert done["taken"] == []


def test_values_go_through_an_actor_with_their_types(run: Run, probe_host: StartHost) -> None:
    script = (
        CALL
        + """
    const { encode, DateTime, DateOnly, TimeOnly, Decimal, Uuid, Duration, Tuple, FrozenSet } = holdfast
    const values = [
      null, true, 5, 2n ** 80n, 1.5, -0, NaN, Infinity, "ä\\ud800", new Uint8Array([0, 255]), [1, [2]],
      { a: 1, $hf: "mine", __proto__: null }, { ["__proto__"]: 1 }, new Map([[1, "one"], [Tuple.of(1, 2), "pair"]]),
      new Set(["b", "a", 3]), new FrozenSet([1]), Tuple.of(1, [2, { k: Tuple.of(3) }]), new Decimal("9.90"),
      new DateTime("2026-11-30T10:00:00.000001+01:00"), new DateOnly("2026-11-30"), new TimeOnly("10:00:00"),
      new Uuid("00000000-0000-0000-0000-0000000000ff"), Duration.ofSeconds(-1.5),
    ]
    const wrong = []
    for (const value of values) {
      for (const back of [await actor.echo(value), await actor.call("echo", { value })]) {
        if (encode(back) !== encode(value instanceof Object && value.$hf ? new Map(Object.entries(value)) : value)) {
          wrong.push([encode(value), encode(back)])
        }
        if (back?.constructor !== value?.constructor && !value?.$hf) wrong.push([encode(value), String(back)])
      }
    }
    const day = await actor.echo(new Date(Date.UTC(2026, 10, 30)))
    return { wrong, day: day.toDate().getTime(), large: typeof (await actor.echo(2n ** 53n)) }
    """
    )
    done = run(script, probe_host().url, name="values")

    assert done == {"wrong": [], "day": 1795996800000, "large": "bigint"}


@pytest.mark.parametrize("name", ["ä b", "..", "a/b", "a%2Fb", "?x#y", "\u200d"])
def test_an_instance_of_any_name_is_called(probe_host: StartHost, name: str) -> None:
    host = probe_host()
    run_in_node(CALL + "await actor.put('who', given.name)", host.url, name=name)

    with host.caller() as caller:
        assert caller.request("GET", f"/v1/instances/Probe?prefix={quote(name)}").value["instances"][0]["name"] == name


def test_refusals_are_the_hosts_own_with_their_facts(run: Run, probe_host: StartHost) -> None:
    script = (
        CALL
        + FACTS
        + """
    const calls = [
      () => actor.raise_only(), () => actor.put_then_refuse("a", 1), () => actor.absent(), () => actor.get(),
      () => client.actor("Absent", "r").get("a"), () => client.actor("Probe", "").get("a"),
      () => actor.echo(() => 1), () => actor.echo([[undefined]]), () => actor.echo(new Set([[1]])),
    ]
    const failed = []
    for (const call of calls) failed.push(await call().then(() => "no failure", facts))
    return { failed, awaited: (await actor) === actor, shown: `${actor} ${JSON.stringify(actor)}` }
    """
    )
    done = run(script, probe_host().url, name="r")

    assert done["failed"] == [
        ["ActorCallError", "ActorMethodError", None, 500, False],
        ["ActorCallError", "ActorError", "on_purpose", 418, False],
        ["ActorCallError", "ActorUnknownMethodError", None, 404, False],
        ["ActorCallError", "BadArgumentsError", None, 400, False],
        ["ActorCallError", "UnknownActorTypeError", None, 404, False],
        ["ActorCallError", "InvalidNameError", None, 400, False],
        ["CodecError", "CodecError", None, None, None],
        ["CodecError", "CodecError", None, None, None],
        ["CodecError", "CodecError", None, None, None],
    ]
    assert done["awaited"] is True
    assert done["shown"] == 'Probe/r "Probe/r"'


def test_calls_under_one_key_have_one_effect(run: Run, probe_host: StartHost) -> None:
    script = (
        CALL
        + """
    const once = actor.once('order "17"')
    const counts = [await once.increment(), await once.increment(), await actor.increment()]
    return [...counts, await once.increment("n", 3).then(String, (e) => e.name)]
    """
    )
    assert run(script, probe_host().url, name="once") == [1, 1, 2, "IdempotencyConflictError"]


# A host that answers each attempt as it is told, and notes under which key it was asked.
SCRIPTED: Final = (
    FACTS
    + """
const asked = []
const fetch = async (url, { headers, signal }) => {
  asked.push([headers["idempotency-key"] ?? null, headers.traceparent ?? null, headers.authorization ?? null])
  const next = given.answers.shift()
  if (next === "never") await new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)))
  if (next === "broken") throw new TypeError("fetch failed")
  if (next === "refused") throw new TypeError("fetch failed", { cause: { message: "no", code: "ECONNREFUSED" } })
  if (typeof next === "number") return new Response("7", { status: next })
  const error = { name: next, message: "m", retryable: next === "HostUnavailableError" }
  return new Response(JSON.stringify({ error }), { status: 500 })
}
const client = new holdfast.Client("http://h", { fetch, ...given.options })
const actor = client.actor("Probe", "x", given.more)
const said = await actor.get("a").catch(facts)
"""
)
RETRIED: Final = [
    (["HostUnavailableError", "HostUnavailableError", 200], 7, 3),
    (["HostUnavailableError"] * 3, ["ActorCallError", "HostUnavailableError", None, 500, True], 3),
    (["ActorOutputGateError", 200], 7, 2),
    (["broken", 502, 200], 7, 3),
    (["refused", 200], 7, 2),
    (["ActorMethodError"], ["ActorCallError", "ActorMethodError", None, 500, False], 1),
    ([500], ["UnexpectedAnswerError", "UnexpectedAnswerError", None, 500, False], 1),
]


@pytest.mark.parametrize(("answers", "result", "attempts"), RETRIED, ids=[str(each[0]) for each in RETRIED])
def test_only_what_cannot_do_its_work_twice_is_made_again(answers: list[Any], result: Any, attempts: int) -> None:
    done = run_in_node(SCRIPTED + "return { said, asked }", answers=[*answers])

    assert (done["said"], len(done["asked"])) == (result, attempts)
    [key] = {key for key, _, _ in done["asked"]}
    assert re.fullmatch('"[0-9a-f]{32}"', key)


def test_without_retries_no_call_has_a_key_and_what_is_unknown_is_not_made_again() -> None:
    done = run_in_node(SCRIPTED + "return { said, asked }", answers=["broken", 200], options={"retries": 0})

    assert done["said"] == ["HostUnreachableError", "HostUnreachableError", None, None, False]
    assert done["asked"] == [[None, None, None]]


def test_token_trace_and_key_go_along() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    options = {"token": TOKEN, "traceparent": parent}
    done = run_in_node(SCRIPTED + "return asked", answers=[200], options=options, more={"key": "k"})

    assert done == [['"k"', parent, f"Bearer {TOKEN}"]]


@pytest.mark.parametrize("trace", ["", "a\n", f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_a_text_that_is_no_trace_ends_no_call_and_an_actor_beside_a_text_calls_nobody(trace: str) -> None:
    script = SCRIPTED + "const shown = 'to ' + actor; return { said, shown, asked }"
    done = run_in_node(script, answers=[200], options={"traceparent": trace, "retries": 0})

    assert done == {"said": 7, "shown": "to Probe/x", "asked": [[None, None, None]]}


def test_a_call_ends_with_its_time_and_with_its_signal() -> None:
    script = (
        SCRIPTED
        + """
    const over = new AbortController()
    given.answers.push("never")
    setTimeout(() => over.abort(new Error("left")), 10)
    const left = actor.with({ signal: over.signal, timeoutMs: 60_000 })
    return { said, aborted: await left.get("a").catch((e) => e.message) }
    """
    )
    done = run_in_node(script, answers=["never"], more={"timeoutMs": 50})

    assert done["said"] == ["HostUnreachableError", "HostUnreachableError", None, None, False]
    assert done["aborted"] == "left"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('["no url"]', "the URL of a host is like"),
        ('["http://h?x=1"]', "the URL of a host is like"),
        ('["http://h", { token: "a b" }]', "visible ASCII"),
        ('["http://h", { retries: -1 }]', "retries are 0 or more"),
        ('["http://h", { timeoutMs: 0 }]', "timeoutMs is more than 0"),
    ],
)
def test_what_a_client_is_given_wrongly_is_said(arguments: str, said: str) -> None:
    script = f"try {{ new holdfast.Client(...{arguments}) }} catch (e) {{ return `${{e.name}}: ${{e.message}}` }}"

    assert re.match(f"TypeError: .*{said}", run_in_node(script))


def test_calls_beside_a_workers_deaths_have_one_effect_each(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    script = """
    const client = new holdfast.Client(given.url, { retries: 8 }), actor = client.actor("Probe", "deaths")
    const found = [], calls = async () => { for (let n = 0; n < 15; n++) found.push(await actor.increment()) }
    const all = Promise.all([calls(), calls(), calls(), calls()])
    for (let n = 0; n < 2; n++) {
      while (found.length < 10 * (n + 1)) await new Promise((resolve) => setTimeout(resolve, 1))
      console.log("kill")
    }
    await all
    return found
    """
    with started_in_node(script, host.url) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "kill\n"
            with host.caller() as caller:
                until(lambda: caller.call("Probe", "other", "nothing").status == 200)
            host.kill("worker")
        counts = json.loads(process.stdout.readline())

    assert sorted(counts) == list(range(1, 61))


# Follows the news of a room; each event that comes is a line of what is returned when the last one is there.
FOLLOW: Final = """
const client = new holdfast.Client(given.url, { token: given.token }), room = client.actor("Room", given.name)
const heard = [], closed = []
await new Promise((resolve, fail) => {
  const link = room[given.kind]("/news", {
    resume: "after", lastEventId: "0",
    onOpen() { globalThis.console.log("open") },
    onEvent({ event, data }) {
      heard.push(`${event} ${data}`)
      console.log(data)
      if (data === "last") { link.close(); resolve() }
    },
    onClose: (over) => { closed.push(over.again); over.again || fail(over) },
  })
})
return { heard, again: closed.length > 0 && closed.every(Boolean) }
"""


def publish(host: HostProcess, name: str, text: str) -> None:
    """Have the room publish it, once there is a front for it."""

    def done() -> bool:
        with host.caller() as caller:
            body, key = json.dumps([text]), {"Idempotency-Key": f"{name}/{text}"}
            return caller.request("POST", f"/v1/actors/Room/{quote(name)}/publish", body, key).status == 200

    until(done)


@pytest.mark.parametrize("kind", ["socket", "events"])
def test_who_follows_a_topic_misses_nothing_and_hears_nothing_twice_whatever_breaks(
    chat_host: HostProcess, kind: str
) -> None:
    name = f"news of {kind}"
    with started_in_node(FOLLOW, chat_host.url, name=name, kind=kind) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "open\n"
        for text in ("one", "two"):
            publish(chat_host, name, text)
            while follower.stdout.readline() != f"{text}\n":
                pass
            chat_host.kill("front")
            publish(chat_host, name, f"after {text}")
        publish(chat_host, name, "last")
        *_, said = follower.stdout

    texts = ("one", "after one", "two", "after two", "last")
    assert json.loads(said) == {"heard": [f"message {text}" for text in texts], "again": True}


@pytest.mark.parametrize("kind", ["socket", "events"])
def test_a_page_follows_a_topic(page_runner: Run, chat_host: HostProcess, kind: str) -> None:
    for text in ("one", "last"):
        publish(chat_host, kind, text)
    done = page_runner(FOLLOW, chat_host.url, name=kind, kind=kind)

    assert done["heard"] == ["message one", "message last"]


def test_a_socket_says_whether_it_sent_and_ends_where_the_actor_ends_it(run: Run, chat_host: HostProcess) -> None:
    script = """
    const said = [], client = new holdfast.Client(given.url)
    const over = await new Promise((resolve) => {
      const socket = client.actor("Room", given.name).socket("/ws?user=ann", {
        onOpen() { said.push(socket.send(new Uint8Array([1, 2]))) },
        onMessage(message) {
          said.push(typeof message === "string" ? message : [...message])
          if (typeof message !== "string") socket.send("close")
        },
        onClose: resolve,
      })
      said.push(socket.send("too early"))
    })
    return { said, over }
    """
    done = run(script, chat_host.url, name="words")

    assert done["said"] == [False, True, "welcome ann", [2, 1]]
    assert done["over"] == {"code": 4000, "reason": "as you wish", "again": False, "waitMs": None}


def test_a_refused_stream_is_not_asked_for_again(run: Run, chat_host: HostProcess) -> None:
    script = """
    const client = new holdfast.Client(given.url)
    const over = await new Promise((resolve) => client.actor("Absent", "x").events("/", { onClose: resolve }))
    return { name: over.error.name, again: over.again }
    """
    assert run(script, chat_host.url) == {"name": "UnknownActorTypeError", "again": False}


def test_a_token_opens_sockets_and_streams_in_node_and_a_page_is_told_why_not(tmp_path: Path, page_runner: Run) -> None:
    script = """
    const room = new holdfast.Client(given.url, { token: given.token }).actor("Room", "kept")
    const opened = (kind) => new Promise((resolve) => {
      const onOpen = () => { link.close(); resolve("open") }
      const link = room[kind]("/ws", { onOpen, onClose: ({ error }) => resolve(error.message) })
    })
    return [await opened("socket"), await opened("events")]
    """
    with HostProcess(tmp_path / "data") as host:
        deploy(host, components.built(components.GUESTS / "chat"))
    with HostProcess(tmp_path / "data", environment={"HOLDFAST_TOKEN": TOKEN}) as host:
        assert run_in_node(script, host.url, token=TOKEN) == ["open", "open"]
        why, stream = page_runner(script, host.url, token=TOKEN)

    assert stream == "open"
    assert why.startswith("a page cannot send a token with a WebSocket")


# A host whose streams say `given.says` and then nothing; `asked` and `left` say what became of its connections.
STREAMS: Final = """
const asked = []
let left = 0
const fetch = async (url, request) => {
  asked.push(request)
  const body = new ReadableStream({
    start: (stream) => stream.enqueue(new TextEncoder().encode(given.says)),
    cancel() { left += 1 },
  })
  return new Response(body, { headers: { "content-type": "text/event-stream" } })
}
const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1)) }
const client = new holdfast.Client("http://h", { fetch, token: given.token }), actor = client.actor("Room", "x")
"""


def test_what_a_listener_throws_ends_no_stream_and_loses_no_event() -> None:
    script = """
    const uncaught = [], heard = []
    process.on("uncaughtException", (error) => uncaught.push(error.message))
    const stream = actor.events("/", {
      onOpen() { throw new Error("open") },
      onEvent({ data }) { heard.push(data); throw new Error(data) },
    })
    await until(() => uncaught.length === 3)
    stream.close()
    await until(() => left === 1)
    return { heard, uncaught, connections: asked.length }
    """
    done = run_in_node(STREAMS + script, says="id: 1\ndata: a\n\nid: 2\ndata: b\n\n")

    assert done == {"heard": ["a", "b"], "uncaught": ["open", "a", "b"], "connections": 1}


def test_a_stream_whose_host_has_gone_without_a_word_is_left_and_asked_for_again_after_a_while() -> None:
    script = """
    const over = []
    const onClose = ({ error, again }) => over.push([error.message, again])
    const stream = actor.events("/", { silenceMs: 20, onClose }), usual = actor.events("/")
    usual.close()
    await until(() => asked.length === 2)
    const before = left
    stream.close()
    const ids = asked.map(({ headers }) => headers["last-event-id"])
    return { over, before, usual: usual.options.silenceMs, waits: stream.firstWaitMs, ids }
    """
    done = run_in_node(STREAMS + script, says="retry: 0\nid: 1\ndata: a\n\n")

    assert done["over"] == [["nothing came for 20 ms", True]]
    assert (done["before"], done["usual"], done["ids"]) == (1, 45_000, [None, "1"])
    assert done["waits"] == 100  # though it was told to come again at once


@pytest.mark.parametrize(("token", "redirect"), [(TOKEN, "error"), (None, "follow")])
def test_a_token_follows_no_redirect(token: str | None, redirect: str) -> None:
    script = "const stream = actor.events(); await until(() => asked.length); stream.close(); return asked[0].redirect"

    assert run_in_node(STREAMS + script, says="", token=token) == redirect


def test_a_socket_takes_as_an_event_only_what_a_topic_sends_and_outlives_a_class_that_throws_what_nobody_hears() -> (
    None
):
    script = """
    class Plain { // as the package `ws` does: an error that nobody listens to is thrown
      constructor() {
        setTimeout(() => {
          this.onerror({ message: "reset" })
          for (const data of given.said) this.onmessage({ data })
        }, 1)
      }
      close() {}
    }
    const events = [], messages = []
    await new Promise((resolve) => {
      const socket = new holdfast.Socket("ws://h/", {
        WebSocket: Plain, resume: "after",
        onEvent: ({ id, event, data }) => { events.push([id, event, data]); socket.close(); resolve() },
        onMessage: (message) => messages.push(message),
      })
    })
    return { events, messages }
    """
    own = ['{"type":"chat","data":"hi"}', "5", "null", '{"id":1,"data":"x"}']
    done = run_in_node(script, said=[*own, '{"id":"1-a","event":null,"data":"new"}'])

    assert done == {"events": [["1-a", "message", "new"]], "messages": own}


def test_a_time_that_no_timer_can_have_is_a_long_one() -> None:
    script = """
    const fetch = async (url, { signal }) => {
      await new Promise((resolve, fail) => {
        setTimeout(resolve, 20)
        signal.addEventListener("abort", () => fail(signal.reason))
      })
      return new Response("7")
    }
    const within = (timeoutMs) => new holdfast.Client("http://h", { fetch, timeoutMs }).actor("Probe", "x").get()
    return Promise.all([within(Infinity), within(2 ** 31)])
    """
    assert run_in_node(script) == [7, 7]


def test_what_is_no_name_calls_nobody() -> None:
    script = r"""
    const client = new holdfast.Client("http://h")
    const said = (name) => {
      try { client.actor("Probe", name) } catch (error) { return error.constructor.name }
      return "taken"
    }
    return [undefined, 17, null, "a\ud800", "\udc00", "\ud83d\ude00"].map(said)
    """
    assert run_in_node(script) == [*["TypeError"] * 5, "taken"]


def test_the_code_of_the_page_about_javascript_runs(account_component: TestComponent, tmp_path: Path) -> None:
    page = (components.PROJECT / "docs" / "javascript.md").read_text()
    code = "\n".join(re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    with HostProcess(tmp_path / "data") as host:
        for each in (account_component, components.built(components.GUESTS / "chat")):
            deploy(host, each)
        said = run_module_in_node(code.replace("http://127.0.0.1:8787", host.url))

    assert said.splitlines() == ["5", "10", "ActorUnknownMethodError 404"]


PROGRAM: Final = """
import { ActorCallError, Client, Decimal, Tuple, type Value } from "./holdfast.js"
import type { Actors } from "./actors.js"

const client = new Client<Actors>("http://h", { token: "t", traceparent: () => undefined })
const probe = client.actor("Probe", "a", { timeoutMs: 5 })
const count: number = await probe.once("k").increment("n", 2n)
const shown: { [key: string]: any } = await probe.debit(5)
const any: Value = await new Client().actor("Whatever", "x").method(new Decimal("1.10"), Tuple.of(1, 2))
const socket = probe.socket("/ws", { resume: "after", onEvent: ({ id, data }) => console.log(id, data) })
socket.send("x")
try { await probe.call("increment", { by: 5 }) } catch (e) { if (e instanceof ActorCallError) console.log(e.requestId) }
"""
WRONG: Final = """
import { Client } from "./holdfast.js"
import type { Actors } from "./actors.js"

const client = new Client<Actors>("http://h")
await client.actor("Probe", "a").increment(5)
await client.actor("Probe", "a").withdraw(5)
client.actor("Absent", "a")
"""


def test_declarations_of_what_a_host_has_let_typescript_find_what_is_wrong(
    probe_host: StartHost, tmp_path: Path
) -> None:
    target = tmp_path / "actors.d.ts"
    command = [HOLDFAST, "types", "--client", str(target), "--host", probe_host().url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = target.read_bytes()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (tmp_path / "program.mts").write_text(PROGRAM)
    (tmp_path / "wrong.mts").write_text(WRONG)

    assert target.read_bytes() == first
    assert (tmp_path / "holdfast.js").read_bytes() == (CLIENT / "holdfast.js").read_bytes()
    found = [line.partition(": error ")[0] for line in type_errors(tmp_path, "program.mts", "wrong.mts")]
    assert found == ["wrong.mts(6,44)", "wrong.mts(7,34)", "wrong.mts(8,14)"]


def test_a_file_that_is_no_module_of_either_language_is_refused(tmp_path: Path) -> None:
    for name in ("actors.ts", "holdfast.d.ts", "actors"):
        command = [HOLDFAST, "types", "--client", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "actors.d.ts for JavaScript" in done.stderr
