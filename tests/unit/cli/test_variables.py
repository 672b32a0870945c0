"""Flags and the variables that are named as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from holdfast_host.cli.commands import serve
from holdfast_host.cli.main import group
from holdfast_host.cli.variables import KNOWN, VariableOption
from holdfast_host.core.config import HostConfig
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import COMMANDS, run

GIVEN = {
    "--listen": "127.0.0.1:0",
    "--data": "some/where",
    "--workers": "3",
    "--fronts": "2",
    "--domain": "actors.example.com",
    "--allowed-host": "a.example.com",
    "--token-file": "token",
    "--config": "host.toml",
    "--trusted-proxy": "10.0.0.0/8",
    "--cors-origin": "https://app.example.com",
    "--tls-cert": "cert.pem",
    "--tls-key": "key.pem",
    "--outbound": "https://*.example.com",
    "--outbound-private": "10.0.0.5",
    "--limit": "method_timeout_s=7",
    "--check-arguments": "on",
    "--known-heads": "off",
    "--no-ui": "1",
    "--log-level": "debug",
    "--log-format": "json",
    "--access-log": "access.log",
    "--archive": "archive",
    "--archive-keep": "30d",
    "--traces": "http://127.0.0.1:4318",
    "--store": "postgresql://holdfast@db/holdfast",
    "--durability": "managed",
    "--host-ttl": "5",
    "--cluster-key-file": "cluster.key",
}


def options_of(command: str) -> Iterator[click.Option]:
    found: click.Command | None = group
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    yield from (each for each in found.params if isinstance(each, click.Option))


def catch_configurations(monkeypatch: pytest.MonkeyPatch) -> list[HostConfig]:
    """What hosts would have been started with."""
    started: list[HostConfig] = []

    def start(config: HostConfig, *_rest: object, **_more: object) -> int:
        started.append(config)
        return 0

    monkeypatch.setattr(serve, "serve", start)
    return started


def test_every_variable_is_named_as_its_flag_and_shown_in_the_help() -> None:
    read = {"HOLDFAST_TOKEN"}
    for command in COMMANDS:
        for option in options_of(command):
            if not isinstance(option, VariableOption):
                assert option.envvar is None, f"{command} {option.opts}"
                continue
            [flag] = [each for each in option.opts if each.startswith("--")]
            assert option.envvar == f"HOLDFAST_{flag[2:].replace('-', '_').upper()}"
            assert f"env var: {option.envvar}" in " ".join(run(*command.split(), "--help").output.split())
            read.add(option.envvar)

    assert read == KNOWN


def test_every_flag_of_serve_does_the_same_as_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    started = catch_configurations(monkeypatch)
    (tmp_path / "host.toml").write_text('domain = "file.example.com"\n')
    flags = {option.opts[0]: option.is_flag for option in options_of("serve") if isinstance(option, VariableOption)}

    run("serve")
    for flag, is_switch in flags.items():
        value = GIVEN[flag]
        needed = {
            "--tls-key": ("--tls-cert", "cert.pem"),
            "--archive-keep": ("--archive", "archive"),
            "--cluster-key-file": ("--store", GIVEN["--store"]),
        }.get(flag, ())
        by_flag = run("serve", *needed, flag, *([] if is_switch else [value]))
        by_variable = run("serve", *needed, **{f"HOLDFAST_{flag[2:].replace('-', '_').upper()}": value})
        assert (by_flag.exit_code, by_variable.exit_code) == (0, 0), by_flag.output + by_variable.output
        assert started[-1] == started[-2], flag
        assert started[-1] != started[0], flag


def test_a_flag_that_may_be_repeated_takes_words_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    started = catch_configurations(monkeypatch)

    run("serve", HOLDFAST_LIMIT="method_timeout_s=7 idle_eviction_s=5", HOLDFAST_ALLOWED_HOST="a.b c.d")

    assert (started[0].limits.method_timeout_s, started[0].limits.idle_eviction_s) == (7, 5)
    assert started[0].allowed_hosts == ("a.b", "c.d")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HOLDFAST_LIMITS", "did you mean HOLDFAST_LIMIT?"),
        ("HOLDFAST_HOTS", "did you mean HOLDFAST_HOST?"),
        ("HOLDFAST_SERVICE_PORT", "'holdfast serve --help' shows those that there are"),
    ],
)
def test_a_variable_that_nothing_reads_is_named_without_its_value(name: str, said: str) -> None:
    with scripted_host(body=b'{"functions":[]}') as host:
        result = run("list", HOLDFAST_HOST=host.url, **{name: "s3cret"})

    assert result.exit_code == 0
    assert result.stderr == f"{name} is no variable of holdfast, nothing reads it: {said}\n"
