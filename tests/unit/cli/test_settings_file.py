"""`holdfast serve --config`: the flags as keys of a file."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from holdfast_host.cli.variables import VariableOption
from holdfast_host.core.config import HostConfig
from holdfast_host.core.limits import Limits
from holdfast_host.supervisor.live_settings import TAKEN
from tests.unit.cli.test_commands import fails_in_one_sentence, run
from tests.unit.cli.test_variables import GIVEN, catch_configurations, options_of


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[HostConfig]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    return catch_configurations(monkeypatch)


def key_of(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def typed(given: dict[str, str]) -> list[str]:
    """As it is typed: a switch has no value."""
    return [word for flag, value in given.items() for word in ([flag] if FLAGS[flag].is_flag else [flag, value])]


def in_file(option: Any, given: str) -> Any:
    """What was given to a flag, as the file has it."""
    if option.is_flag:
        return True
    if option.metavar == "NAME=VALUE":
        name, _, value = given.partition("=")
        return {name: int(value)}
    if option.multiple:
        return [given]
    if given in {"on", "off"}:
        return given == "on"
    return int(given) if given.isdigit() else given


SETTINGS = Path(__file__).parents[3] / "docs" / "operating.md"
FLAGS = {each.opts[0]: each for each in options_of("serve") if isinstance(each, VariableOption)}
FLAGS.pop("--config")


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_of_serve_does_the_same_as_its_key_in_the_file(flag: str, started: list[HostConfig]) -> None:
    needed = {"--tls-key": ["--tls-cert"], "--archive-keep": ["--archive"], "--cluster-key-file": ["--store"]}.get(
        flag, []
    )
    given = {each: GIVEN[each] for each in (*needed, flag)}
    Path("host.toml").write_text(
        tomlkit.dumps({key_of(each): in_file(FLAGS[each], value) for each, value in given.items()})
    )

    by_flag = run("serve", *typed(given))
    by_file = run("serve", "--config", "host.toml")

    assert (by_flag.exit_code, by_file.exit_code) == (0, 0), by_flag.output + by_file.output
    assert started[0] == started[1]


def test_the_page_says_of_every_flag_whether_sighup_changes_it() -> None:
    page = SETTINGS.read_text().partition("| flag | SIGHUP |")[2].partition("\n\n")[0]
    said = dict(re.findall(r"^\| `(--[a-z-]+)` \| (\w+)", page, re.MULTILINE))

    taken = {flag for flag, option in FLAGS.items() if option.name in TAKEN | {"limits"}}
    assert said == {flag: "yes" if flag in taken else "no" for flag in FLAGS} | {"--limit": "some"}


def test_every_limit_can_be_set_in_the_file(started: list[HostConfig]) -> None:
    defaults = Limits()
    Path("host.toml").write_text(
        tomlkit.dumps({"limit": {each.name: getattr(defaults, each.name) for each in fields(Limits)}})
    )

    assert run("serve", "--config", "host.toml").exit_code == 0
    assert started[0].limits == defaults


@pytest.mark.parametrize(
    "without", [("--store", "--durability", "--cluster-key-file"), ("--archive", "--archive-keep")]
)
def test_what_is_printed_reads_back_to_the_same_from_anywhere(
    started: list[HostConfig], without: tuple[str, ...]
) -> None:
    words = typed({flag: GIVEN[flag] for flag in FLAGS if flag not in without})
    run("serve", *words)
    printed = run("serve", *words, "--print-config")
    plain = run("serve", "--print-config")
    run("serve")
    Path("elsewhere").mkdir()
    Path("elsewhere/host.toml").write_text(printed.output)
    Path("elsewhere/plain.toml").write_text(plain.output)
    run("serve", "--config", "elsewhere/host.toml")
    run("serve", "--config", "elsewhere/plain.toml")

    assert (printed.exit_code, plain.exit_code) == (0, 0), printed.output
    assert len(started) == 4
    assert (started[0], started[1]) == (started[2], started[3])
    assert "secret" not in printed.output


def test_the_command_line_wins_over_variables_and_these_over_the_file(started: list[HostConfig]) -> None:
    Path("host.toml").write_text('workers = 2\nfronts = 2\ndomain = "file.example.com"\ntrusted_proxy = ["10.0.0.1"]\n')
    run("serve", "--config", "host.toml", "--workers", "4", "--trusted-proxy", "10.0.0.2", HOLDFAST_FRONTS="3")

    assert (started[0].workers, started[0].fronts, started[0].domain) == (4, 3, "file.example.com")
    assert started[0].trusted_proxies == ("10.0.0.2/32",)


@pytest.mark.parametrize("given", ["flag", "variable"])
def test_of_limits_each_wins_by_itself(given: str, started: list[HostConfig]) -> None:
    """Who sets one where the host is started does not lose in silence what stands in the file of the others."""
    Path("host.toml").write_text("[limit]\nmethod_timeout_s = 5\nidle_eviction_s = 7\n")
    if given == "flag":
        run("serve", "--config", "host.toml", "--limit", "idle_eviction_s=2")
    else:
        run("serve", "--config", "host.toml", HOLDFAST_LIMIT="idle_eviction_s=2")

    assert (started[0].limits.method_timeout_s, started[0].limits.idle_eviction_s) == (5.0, 2.0)


def test_paths_in_the_file_begin_at_its_folder(started: list[HostConfig], tmp_path: Path) -> None:
    Path("etc").mkdir()
    Path("etc/host.toml").write_text('data = "data"\ntls_cert = "/abs/cert.pem"\n')
    run("serve", "--config", "etc/host.toml")

    assert started[0].data == tmp_path / "etc" / "data"
    assert started[0].tls_cert == Path("/abs/cert.pem")


def test_standard_output_in_the_place_of_a_path_stays_that(started: list[HostConfig]) -> None:
    Path("etc").mkdir()
    Path("etc/host.toml").write_text('access_log = "-"\n')
    run("serve", "--config", "etc/host.toml")
    printed = run("serve", "--access-log", "-", "--print-config")

    assert started[0].access_log == "-"
    assert 'access_log = "-"' in printed.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("access_log = 'no/such/folder'", "host.toml: access_log "),
        ("access_log = '/'", "host.toml: access_log /: name a file that this user may write"),
        ("wrokers = 1", "host.toml: there is no setting 'wrokers'; did you mean 'workers'?"),
        ("token = 'x'", "there is no setting 'token'"),
        ("config = 'x'", "there is no setting 'config'"),
        ("print_config = true", "there is no setting 'print_config'"),
        ("workers = '1'", "host.toml: workers is a string, it must be a whole number"),
        ("workers = true", "host.toml: workers is true or false, it must be a whole number"),
        ("workers = 0", "host.toml: workers is 0, it must be between 1 and 256"),
        ("domain = 5", "host.toml: domain is a whole number, it must be a string"),
        ("domain = ''", "host.toml: domain '' is no domain name"),
        ("trusted_proxy = '10.0.0.0/8'", "host.toml: trusted_proxy is a string, it must be a list of strings"),
        ("trusted_proxy = ['x']", "host.toml: trusted_proxy 'x' is no network"),
        ("cors_origin = ['x']", "host.toml: cors_origin: 'x' is no origin"),
        ("log_level = 'loud'", "host.toml: log_level is 'loud', it must be one of debug, info, warning, error"),
        ("known_heads = 1", "host.toml: known_heads is a whole number, it must be a string"),
        ("limit = ['x=1']", "host.toml: limit is a list of strings, it must be a table: [limit]"),
        ("[limit]\nmethod_timeout_s = '7'", "host.toml: limit.method_timeout_s is a string, it must be a number"),
        ("[limit]\nmethod_timeout = 7", "host.toml: limit: there is no limit 'method_timeout'; did you mean"),
        ("[limit]\nkey_bytes_max = 481", "host.toml: limit key_bytes_max=481: more than 480 is not possible"),
        ("[limit]\nmethod_timeout_s = 1e9", "limit method_timeout_s=1000000000.0: more than 2000000 is not possible"),
        ("data = 2026-11-30", "host.toml: data is a date or time, it must be a string"),
        ("data =", "host.toml is no TOML"),
        ("workers = 1\nworkers = 2\n", "host.toml is no TOML: Cannot overwrite a value"),
        (f"workers = {'9' * 5000}", "host.toml is no TOML: Exceeds the limit (4300 digits)"),
        (f"workers = {'[' * 5000}", "host.toml is no TOML"),
        ("[limit]\ninstances_max = 9223372036854775808", "limit instances_max=9223372036854775808: more than"),
        ("[limit]\nmethod_timeout_s = nan", "host.toml: limit method_timeout_s=nan: the value must be above zero"),
        ("allowed_host = ['a', 1]", "host.toml: allowed_host has a whole number in it, it must be a list of strings"),
    ],
)
def test_what_the_file_cannot_say_is_refused_with_file_and_key(text: str, said: str, started: list[HostConfig]) -> None:
    Path("host.toml").write_text(text)
    done = run("serve", "--config", "host.toml")

    assert done.exit_code != 0
    assert said in fails_in_one_sentence(done)
    assert started == []


def test_a_list_without_an_entry_allows_nothing_outside(started: list[HostConfig]) -> None:
    Path("host.toml").write_text("outbound = []\n")
    run("serve", "--config", "host.toml")
    Path("printed.toml").write_text(run("serve", "--config", "host.toml", "--print-config").output)
    run("serve", "--config", "printed.toml")

    assert [each.outbound for each in started] == [(), ()]


def test_a_file_of_another_system_is_read(started: list[HostConfig]) -> None:
    """With a byte order mark and other line ends, as editors there write them."""
    Path("host.toml").write_bytes(b"\xef\xbb\xbfworkers = 2\r\nfronts = 3\r\n")
    run("serve", "--config", "host.toml")

    assert (started[0].workers, started[0].fronts) == (2, 3)


def test_a_file_that_is_not_there_is_named(started: list[HostConfig]) -> None:
    assert "cannot read --config none.toml" in fails_in_one_sentence(run("serve", "--config", "none.toml"))


def test_what_is_wrong_on_the_command_line_is_not_blamed_on_the_file(started: list[HostConfig]) -> None:
    Path("host.toml").write_text("workers = 2")
    said = fails_in_one_sentence(run("serve", "--config", "host.toml", "--workers", "0"))

    assert "host.toml" not in said
    assert "--workers is 0" in said
