"""What the test kit has beyond the semantics of a host, which tests/contract/guest covers."""

from __future__ import annotations

import abc
import linecache
import logging
import random
import subprocess
import sys
import threading
import time
from dataclasses import fields
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from holdfast import ActorCallError, LimitError, Request, Response, StatefulActor
from holdfast.testing import Limits, LocalHost, LogLine, RuleError
from holdfast_host.core.limits import Limits as HostLimits
from tests.unit.testing import actors
from tests.unit.testing.actors import START, Account, Session


def test_a_stub_of_the_hosts_env_calls_an_instance(local: LocalHost) -> None:
    alice = local.env.ACCOUNT.id_from_name("alice")

    assert alice.deposit(5) == {"balance": 5}
    assert alice.debit(amount=2) == {"balance": 3}
    assert local.env.GREETING == "hi"


def test_a_call_that_fails_raises_what_it_raises_inside_an_actor(local: LocalHost) -> None:
    with pytest.raises(ActorCallError, match="insufficient funds") as caught:
        local.env.ACCOUNT.id_from_name("alice").debit(1)

    assert (caught.value.name, caught.value.code, caught.value.status) == ("ActorError", "insufficient_funds", 409)


def test_hosts_share_nothing(local: LocalHost) -> None:
    other = LocalHost({"ACCOUNT": Account})
    local.env.ACCOUNT.id_from_name("alice").deposit(5)

    assert other.env.ACCOUNT.id_from_name("alice").deposit(1) == {"balance": 1}
    assert local.instances(Account) == ["alice"]


def test_an_instance_that_has_a_kept_answer_and_nothing_else_is_one_as_on_a_host() -> None:
    local = LocalHost({"ACCOUNT": Account})
    local.post(Account, "alice", "deposit", [5], key="k")
    del local.instance(Account, "alice").storage["balance"]

    assert (local.instances(Account), local.instance(Account, "alice").exists) == (["alice"], True)
    local.instance(Account, "alice").erase()
    assert local.instances(Account) == []


def test_storage_can_be_looked_at_and_edited(local: LocalHost) -> None:
    alice = local.instance(Account, "alice")
    local.env.ACCOUNT.id_from_name("alice").deposit(5)

    assert dict(alice.storage) == {"balance": 5}
    assert "missing" not in alice.storage
    alice.storage["balance"] = 100
    alice.storage["Z"] = (1, b"x")
    assert alice.storage["Z"] == (1, b"x")
    assert list(alice.storage) == ["Z", "balance"]
    assert local.env.ACCOUNT.id_from_name("alice").deposit(1) == {"balance": 101}
    del alice.storage["balance"]
    with pytest.raises(KeyError):
        del alice.storage["balance"]
    with pytest.raises(LimitError, match="481 bytes"):
        alice.storage["k" * 481] = 1
    alice.storage.clear()
    assert not alice.exists


def test_an_edit_drops_the_activation_that_it_passes_by(local: LocalHost) -> None:
    alice = local.instance("Account", "alice")
    local.env.ACCOUNT.id_from_name("alice").deposit(5)
    assert alice.active

    alice.storage["balance"] = 1

    assert not alice.active


def test_an_evicted_instance_is_constructed_again(local: LocalHost) -> None:
    session = local.instance(Session, "s")
    local.env.SESSION.id_from_name("s").touch()

    session.evict()

    assert not session.active
    assert session.exists
    local.env.SESSION.id_from_name("s").touch()
    assert session.active


def test_the_clock_stands_still_until_it_is_moved(local: LocalHost) -> None:
    stub = local.env.SESSION.id_from_name("s")

    assert stub.touch() == START
    assert stub.touch() == START
    local.clock.advance(60)
    assert stub.touch() == START + timedelta(seconds=60)
    assert stub.today() == [date(2026, 11, 1), True, True, START.timestamp() + 60]


def test_time_is_the_machines_again_after_a_turn(local: LocalHost) -> None:
    before = (time.time, time.sleep, datetime, date, sys.stdout, sys.stderr, list(logging.getLogger().handlers))
    local.env.SESSION.id_from_name("s").touch()
    with pytest.raises(ActorCallError):
        local.env.ACCOUNT.id_from_name("a").fail()

    after = (time.time, time.sleep, datetime, date, sys.stdout, sys.stderr, list(logging.getLogger().handlers))

    assert before == after


def test_moving_the_clock_runs_what_comes_due_each_at_its_own_time(local: LocalHost) -> None:
    session = local.instance(Session, "s")
    local.env.SESSION.id_from_name("s").touch()
    local.clock.advance(timedelta(minutes=20))
    local.env.SESSION.id_from_name("s").touch()
    alarm = session.alarm
    assert alarm is not None
    assert alarm.due == START + timedelta(minutes=50)

    assert local.clock.advance(timedelta(minutes=29)) == 0
    assert local.clock.advance(timedelta(minutes=29)) == 1

    assert session.storage["expired"] == START + timedelta(minutes=50)
    assert session.alarm is None
    assert local.clock.now == START + timedelta(minutes=78)


def test_an_alarm_can_be_set_and_cleared_from_outside(local: LocalHost) -> None:
    session = local.instance(Session, "s")
    session.set_alarm(timedelta(hours=1))
    assert local.clock.advance(3599) == 0
    session.delete_alarm()
    assert local.clock.advance(10) == 0
    session.set_alarm(START)

    assert local.clock.advance() == 1


def test_time_does_not_pass_backwards(local: LocalHost) -> None:
    with pytest.raises(ValueError, match="forwards"):
        local.clock.advance(-1)
    with pytest.raises(ValueError, match="forwards"):
        local.clock.move_to(START - timedelta(seconds=1))


def test_a_turn_over_its_budget_commits_nothing() -> None:
    host = LocalHost({"SESSION": Session}, limits=Limits(method_timeout_s=0.05))

    for method, arguments in (("spin", (0.1,)), ("spin_on_storage", ())):
        with pytest.raises(ActorCallError) as caught:
            getattr(host.env.SESSION.id_from_name("s"), method)(*arguments)

        assert (caught.value.name, caught.value.status) == ("ActorMethodTimeoutError", 504)
    assert not host.instance(Session, "s").exists


def test_a_turn_over_its_budget_says_in_the_log_where_its_code_stood() -> None:
    host = LocalHost({"SESSION": Session}, limits=Limits(method_timeout_s=0.05))
    for method, arguments in (("spin_on_storage", ()), ("spin", (0.1,))):
        with pytest.raises(ActorCallError) as caught:
            getattr(host.env.SESSION.id_from_name("s"), method)(*arguments)
        assert "actors.py" not in caught.value.message

    stopped, found_late = [line.text for line in host.instance(Session, "s").log]
    over = "over its budget of 0.05 s"
    assert stopped.startswith("trap: ended: Session/s")
    assert f"{over}; it stood in Session.spin_on_storage, {actors.__file__} line " in stopped
    assert found_late.endswith(over)


def test_what_is_printed_and_raised_is_in_the_log_and_on_stderr(
    local: LocalHost, capsys: pytest.CaptureFixture[str]
) -> None:
    local.env.SESSION.id_from_name("s").touch()
    with pytest.raises(ActorCallError):
        local.env.ACCOUNT.id_from_name("alice").fail()

    assert local.instance(Session, "s").log == [LogLine("Session/s", "stdout", "touched")]
    [trace] = local.instance(Account, "alice").log
    assert "an author's mistake" in trace.text
    assert local.log[0].instance == "Session/s"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[Session/s] stdout: touched\n" in shown.err
    assert "actors.py" in shown.err


def test_the_random_numbers_of_a_test_are_left_alone(local: LocalHost) -> None:
    random.seed(5)
    expected = [random.random() for _ in range(2)]
    random.seed(5)
    first = random.random()
    local.env.SESSION.id_from_name("s").touch()

    assert [first, random.random()] == expected


def test_the_function_answers_requests(local: LocalHost) -> None:
    response = local.fetch("http://shop.localhost/a?b=1")

    assert response.text() == '["/a","hi",{"balance":1}]'
    assert local.fetch(Request("/x", "POST")).status == 200


class Echo(StatefulActor):
    def fetch(self, request: Request) -> Response:
        return Response(request.body + bytes(int(request.query.get("more", "0"))))

    def pass_on(self, count: int) -> int:
        return len(self.env.ECHO.id_from_name("other").fetch(Request("/", "PUT", body=bytes(count))).body)


def test_a_body_at_the_limit_passes_a_stubs_fetch_and_one_past_it_does_not() -> None:
    stub = LocalHost({"ECHO": Echo}, limits=Limits(fetch_body_bytes_max=100)).env.ECHO.id_from_name("e")

    assert stub.fetch(Request("/", "PUT", body=b"\xff" * 100)).body == b"\xff" * 100
    assert stub.pass_on(100) == 100
    refused = r"LimitError: Echo/\w+(.fetch)?: a (request of fetch|response) with a body of 101 bytes, .* 100 bytes"
    for more, count in ((0, 101), (1, 100)):
        with pytest.raises(ActorCallError, match=refused):
            stub.fetch(Request(f"/?more={more}", "PUT", body=bytes(count)))
    with pytest.raises(ActorCallError, match=refused):
        stub.pass_on(101)


def test_a_host_without_a_fetch_says_so_in_its_log() -> None:
    host = LocalHost({"ACCOUNT": Account})

    with pytest.raises(ActorCallError, match="its log says why"):
        host.fetch("/")
    assert "no fetch" in host.log[-1].text


def test_calls_from_several_threads_run_one_after_another(local: LocalHost) -> None:
    def work() -> None:
        for _ in range(50):
            local.env.ACCOUNT.id_from_name("alice").deposit(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert local.instance(Account, "alice").storage["balance"] == 200


@pytest.mark.parametrize(
    ("actors", "variables", "match"),
    [
        ({"A B": Account}, {}, "no name on env"),
        ({"A__B": Account}, {}, "no name on env"),
        ({"ACCOUNT": Account}, {"ACCOUNT": "x"}, "each name once"),
        ({"A": Account, "B": type("Account", (StatefulActor,), {})}, {}, "two actor classes"),
    ],
)
def test_names_that_do_not_fit_are_refused(actors: Any, variables: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        LocalHost(actors, variables=variables)


def test_a_class_that_breaks_a_rule_is_refused_as_a_build_would() -> None:
    class Hiding(StatefulActor):
        def name(self) -> str:
            return "hides the stub's name"

    with pytest.raises(RuleError, match=r"Hiding\.name hides"):
        LocalHost({"HIDING": Hiding})


def test_an_instance_of_a_type_that_the_host_has_not_is_refused(local: LocalHost) -> None:
    with pytest.raises(ValueError, match="Nobody"):
        local.instance("Nobody", "x")


def test_its_limits_are_those_of_a_real_host() -> None:
    host, local = HostLimits(), Limits()

    assert {each.name: getattr(local, each.name) for each in fields(Limits)} == {
        each.name: getattr(host, each.name) for each in fields(Limits)
    }


def test_the_kit_needs_nothing_but_the_sdk() -> None:
    """Neither the host nor anything that is installed for it."""
    source = (
        "import sys; import holdfast.testing;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'holdfast_host', 'wasmtime', 'lmdb',"
        " 'aiohttp', 'click', 'rich', 'httpx', 'tomlkit', 'pytest', 'uvloop'}))"
    )

    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


class NoActor:
    """A class that was meant to be one."""


class Abstract(Account, abc.ABC):
    @abc.abstractmethod
    def pay(self) -> None: ...


def takes_one(request: Request) -> Response:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"actors": {"ACCOUNT": NoActor}}, RuleError, r"NoActor is no actor: write class NoActor\(StatefulActor\)"),
        ({"actors": {"ACCOUNT": Account.deposit}}, RuleError, "deposit is no actor"),
        (
            {"fetch": takes_one},
            RuleError,
            r"fetch\(request: Request\) -> Response must be callable with \(request, env\)",
        ),
        ({"fetch": "text"}, RuleError, "fetch is not a function"),
        ({"name": "My Shop"}, ValueError, "'My Shop' is no name of a function"),
        ({"variables": {"_A": "x"}}, ValueError, "do not begin with an underscore"),
        ({"secrets": {"_A": "x"}}, ValueError, "do not begin with an underscore"),
        ({"variables": {"A": "x"}, "secrets": {"A": "y"}}, ValueError, "A is a variable and a secret"),
        ({"secrets": {"ACCOUNT": "y"}}, ValueError, "env has each name once"),
        ({"actors": {"A" * 65: Account}}, ValueError, "at most 64 characters"),
        ({"now": datetime(2026, 11, 1)}, ValueError, "give it a time zone"),
        ({"variables": {"A": 1}}, TypeError, "the variable A is a str"),
    ],
)
def test_a_local_host_refuses_what_its_documentation_says(given: dict[str, Any], error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        LocalHost(**{"actors": {"ACCOUNT": Account}, **given})


def test_a_turn_reads_no_file_through_what_reads_the_lines_of_tracebacks() -> None:
    class Reader(StatefulActor):
        def lines(self, path: str) -> int:
            return len(linecache.getlines(path))

    reader = LocalHost({"READER": Reader}).env.READER.id_from_name("x")

    assert reader.lines("/etc/passwd") == 0
    assert reader.lines(__file__) > 0
