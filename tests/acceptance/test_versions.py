"""Versions of a function on a real host: atomic switches, refused breaks, renames, and files that are damaged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.projects import run, write_project
from tests.hostile import wat
from tests.hostile.cases import deploy_bare

FIRST = components.GUESTS / "versions"
STORE = ("STORE", "Store")
BELL = ("BELL", "Bell")
SMALL = "result_lines"  # a hand-made component, which compiles in no time

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    with HostProcess(tmp_path / "data", "--workers", "2") as running:
        yield running


def first(sources: Path, name: str, *actors: tuple[str, str], further: str = "") -> components.TestComponent:
    """A project whose component is the first version's, which has all of the types."""
    project = write_project(sources / f"first-{name}", name, "", *actors, further=further)
    component = components.built(FIRST).component
    return components.TestComponent(name, project, project / "holdfast.toml", component)


def second(sources: Path, name: str, *actors: tuple[str, str]) -> components.TestComponent:
    """The same with the component of a second version: other code, and a Bell without its handler."""
    text = (FIRST / "src" / "app.py").read_text()
    text = text.replace("VERSION = 1", "VERSION = 2").replace("def alarm(", "def alarms(")
    text += "\n\ndef fetch(request: object, env: object) -> None:\n    pass\n"  # as the joint component has one
    component = components.built(write_project(sources / "second", "second", text)).component
    project = write_project(sources / f"second-{name}", name, "", *actors)
    return components.TestComponent(name, project, project / "holdfast.toml", component)


def version(sources: Path, number: int) -> components.TestComponent:
    """The project `store` that answers with this version."""
    return (first, second)[number - 1](sources, "store", STORE)


def renamed(sources: Path, name: str, further: str = 'renamed_from = "Store"\n') -> components.TestComponent:
    """The project `store` with its class renamed."""
    made = first(sources / name, "store", ("KIOSK", "Kiosk"), further=further)
    return components.TestComponent("store", made.project, made.manifest, made.component)


def less(sources: Path) -> components.TestComponent:
    """The project `store` with one method of three left, which always answers the same; a hand-made component."""
    store = '{"type":"Store","methods":[{"name":"get"}],"private":[]}'
    text = wat.described_as(f'{{"contract":"1.0.0","codec":1,"actors":[{store}],"fetch":false}}')
    component = sources / "less.wasm"
    component.write_bytes(wat.assemble(text))
    project = write_project(sources / "less", "store", "", STORE)
    return components.TestComponent("store", project, project / "holdfast.toml", component)


def test_every_turn_after_the_switch_runs_the_new_version_and_running_ones_finish_on_the_old(
    host: HostProcess, sources: Path
) -> None:
    for number in (2, 1):  # both are compiled, so that the deploy under test is short
        deploy(host, version(sources, number))
    answers: dict[str, Any] = {}

    def ask(label: str, method: str, *arguments: Any) -> None:
        with host.caller() as caller:
            answers[label] = caller.value("Store", "busy", method, *arguments)

    running = threading.Thread(target=ask, args=("running", "compute", 8.0))
    running.start()
    wait_for_log(host, "computing")
    queued = threading.Thread(target=ask, args=("queued", "get"))
    queued.start()
    deploy(host, version(sources, 2))
    with host.caller() as caller:
        after = [caller.value("Store", f"name-{number}", "get")["version"] for number in range(50)]
    assert running.is_alive()
    running.join()
    queued.join()

    assert set(after) == {2}
    assert answers["running"] == {"version": 1}
    assert answers["queued"]["version"] == 2


def test_a_rollback_is_the_same_switch_and_keeps_what_is_stored(host: HostProcess, sources: Path) -> None:
    for number in (1, 2):
        deploy(host, version(sources, number))
    with host.caller() as caller:
        caller.value("Store", "a", "put", 7)
        printed = run(sources, "rollback", "store", host=host.url)
        back = caller.value("Store", "a", "get")
        run(version(sources, 1).project, "rollback", "--to", "2", host=host.url)
        forth = caller.value("Store", "a", "get")

    assert printed.startswith("Function 'store' runs version 1 again: http://store.localhost:")
    assert (back["version"], back["value"]) == (1, 7)
    assert (forth["version"], forth["value"]) == (2, 7)
    assert run(sources, "list", "store", host=host.url).splitlines()[1].startswith("2\truns\t")


def test_a_version_that_fails_its_trial_is_never_switched_to(host: HostProcess, sources: Path) -> None:
    deploy(host, version(sources, 1))
    broken = sources / "broken.wasm"
    broken.write_bytes(version(sources, 2).component.read_bytes()[:1_000_000])

    project = str(version(sources, 1).project)
    printed = run(sources, "deploy", project, "--component", str(broken), host=host.url, fails=True)

    assert "InvalidComponentError" in printed
    with host.caller() as caller:
        assert caller.value("Store", "a", "get")["version"] == 1
        assert caller.request("GET", "/v1/functions/store").value["status"] == "failed"


def test_a_version_without_the_alarm_handler_is_refused_while_an_alarm_is_set(host: HostProcess, sources: Path) -> None:
    with_handler, without = first(sources, "bell", BELL), second(sources, "bell", BELL)
    deploy(host, with_handler)
    with host.caller() as caller:
        caller.value("Bell", "a", "arm")
        assert "the alarm handler of Bell, of which instances have an alarm set, is gone" in refusal(host, without)
        caller.request("DELETE", "/v1/instances/Bell/a/alarm")
        deploy(host, without)
        refused = caller.call("Bell", "a", "arm")

    assert refused.error == "ActorMethodError"
    assert "Bell has no alarm(self, info)" in refused.text


def test_what_a_version_would_break_is_listed_and_nothing_is_switched(host: HostProcess, sources: Path) -> None:
    deploy(host, version(sources, 1))
    fewer, other = less(sources), renamed(sources, "other", further="")
    with host.caller() as caller:
        refused = refusal(host, fewer)
        assert (
            refused == "'store' would break what relies on it: the method Store.compute is gone; the method "
            "Store.put is gone; the function's fetch handler is gone. Deploy with --allow-breaking "
            "(?allow_breaking=true) if that is meant."
        )
        caller.value("Store", "kept", "put", 1)
        assert "the actor type Store, which has instances, is gone" in refusal(host, other)
        assert caller.value("Store", "kept", "get")["value"] == 1

        break_with(host, fewer)
        assert caller.value("Store", "kept", "get") is None
        break_with(host, other)
        assert caller.call("Store", "kept", "get").error == "UnknownActorTypeError"
        run(sources, "rollback", "store", "--to", "1", host=host.url)
        assert caller.value("Store", "kept", "get")["value"] == 1


def test_a_renamed_class_keeps_its_instances_across_a_restart_and_a_rollback(host: HostProcess, sources: Path) -> None:
    deploy(host, version(sources, 1))
    names = [f"name-{number}" for number in range(20)]
    with host.caller() as caller:
        for number, name in enumerate(names):
            caller.value("Store", name, "put", number)
        deploy(host, renamed(sources, "renamed"))
        found = [caller.value("Kiosk", name, "get") for name in names]
        assert caller.call("Store", "name-1", "get").error == "UnknownActorTypeError"
    host.kill_all()
    host.restart()
    with host.caller() as caller:
        again = [caller.value("Kiosk", name, "get")["value"] for name in names]
        run(sources, "rollback", "store", host=host.url)
        back = caller.value("Store", "name-3", "get")

    assert [(each["value"], each["type"], each["version"]) for each in found] == [(n, "Kiosk", 2) for n in range(20)]
    assert again == list(range(20))
    assert (back["value"], back["type"]) == (3, "Store")


@pytest.mark.parametrize("hidden", [False, True], ids=["its time shows it", "nothing shows it"])
def test_a_damaged_compiled_file_is_made_again_while_other_functions_are_served(
    host: HostProcess, hidden: bool
) -> None:
    small = wat.type_of(SMALL)
    with host.caller() as caller:
        assert deploy_bare(caller, "small", wat.component(SMALL)).status == 201
    deploy(host, components.built(components.ACCOUNT))
    host.stop()
    damaged = next(path for path in (host.data / "compiled").glob("*.cwasm") if small.encode() in record(path))
    facts = damaged.stat()
    with damaged.open("r+b") as file:
        file.write(b"\0" * 4096)
    if hidden:
        os.utime(damaged, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    host.restart()

    with host.caller() as caller:
        assert caller.value("Account", "a", "balance") == {"balance": 0}
        if hidden:
            assert caller.call(small, "a", "run").error in {None, "", "HostUnavailableError"}
            wait_for_log(host, "repaired")
        assert caller.call(small, "a", "run").status == 200
    assert "damaged" in host.log
    assert " died" not in host.log


def record(compiled: Path) -> bytes:
    """What the host noted beside a compiled file."""
    return compiled.with_suffix(".json").read_bytes()


def refusal(host: HostProcess, component: components.TestComponent) -> str:
    """Why the host refuses a deploy."""
    return _deploy(host, component, "--json", fails=True).strip().removeprefix("BreakingChangeError: ")


def break_with(host: HostProcess, component: components.TestComponent) -> None:
    """Deploy what breaks something, and say that it is meant."""
    _deploy(host, component, "--allow-breaking")


def _deploy(host: HostProcess, component: components.TestComponent, *flags: str, fails: bool = False) -> str:
    components.compiled(component.component)  # a host that refuses it keeps nothing
    with components.compiled_once(component.component, host.data):
        command = ("deploy", ".", "--component", str(component.component), *flags)
        return run(component.project, *command, host=host.url, fails=fails)


def wait_for_log(host: HostProcess, text: str) -> None:
    """Return when the host has logged it."""
    waiting = threading.Event()
    for _ in range(1200):
        if text in host.log:
            return
        waiting.wait(0.05)
    raise AssertionError(f"{text!r} was not logged: {host.log[-2000:]}")
