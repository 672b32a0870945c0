"""The data directory's format, and the configuration of a host."""

import stat
from pathlib import Path

import pytest

from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.supervisor.directory.layout import make_directory, open_directory
from tests.unit.supervisor.running import RunningHost


def test_a_new_directory_is_private_and_keeps_its_number_of_partitions(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_directory(data)

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert open_directory(data, 3).partitions == 3
    assert open_directory(data, 7).partitions == 3


def test_a_directory_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format.json").write_text('{"format": 99, "partitions": 1}')

    with pytest.raises(ConfigurationError, match="format 99"):
        open_directory(tmp_path, 1)


def test_somebody_elses_directory_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(ConfigurationError, match=r"thesis\.tex"):
        open_directory(tmp_path, 1)

    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_interrupted_uploads_are_removed_at_start(tmp_path: Path) -> None:
    (open_directory(tmp_path, 1).uploads / "half").write_text("x")

    assert list(open_directory(tmp_path, 1).uploads.iterdir()) == []


def test_more_workers_than_partitions_are_capped_and_said(host: RunningHost) -> None:
    host.start()
    assert host.stop() == 0
    host.workers = 3

    host.start()

    assert "3 workers asked for, 1 started" in host.text()
    assert "repartition" in host.text()


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"])
def test_an_open_address_without_a_token_is_refused(listen: str) -> None:
    with pytest.raises(ConfigurationError, match="without a token"):
        HostConfig.make(listen=listen)

    assert HostConfig.make(listen=listen, token="secret").token == "secret"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:8787", "[::1]:8787", "127.9.9.9:1"])
def test_loopback_needs_no_token(listen: str) -> None:
    assert str(HostConfig.make(listen=listen).listen) == listen


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "8787"}, "HOST:PORT"),
        ({"listen": "::1:8787"}, "brackets"),
        ({"listen": "127.0.0.1:70000"}, "HOST:PORT"),
        ({"workers": 0}, "between 1 and 256"),
        ({"fronts": 0}, "between 1 and"),
        ({"domain": "no domain"}, "domain name"),
        ({"limits": ["method_timeout=3"]}, "method_timeout_s"),
        ({"limits": ["method_timeout_s"]}, "NAME=VALUE"),
        ({"limits": ["method_timeout_s=soon"]}, "number"),
        ({"limits": ["method_timeout_s=-1"]}, "above zero"),
        ({"limits": ["method_timeout_s=nan"]}, "above zero"),
        ({"limits": ["key_bytes_max=500"]}, "480"),
        ({"limits": ["calls_at_once_max=65"]}, "more than 64"),
        ({"limits": ["receipt_s=5000000000"]}, "more than 1000000000"),
        ({"limits": ["receipt_s=28799"]}, "less than 28800"),
        ({"outbound": ["api.example.com"]}, "'api.example.com' is no pattern"),
        ({"outbound": ["none", "https://*"]}, "none stands alone"),
        ({"outbound_private": ["intranet.corp"]}, "HOST:PORT"),
        ({"outbound_private": ["10.0.0.0/8"]}, "HOST:PORT"),
        ({"outbound_private": ["10.0.0.5:0"]}, "HOST:PORT"),
        ({"outbound_private": ["169.254.169.254"]}, "never asked"),
        ({"outbound_private": ["::ffff:169.254.169.254"]}, "never asked"),
        ({"outbound_private": ["[fe80::1]:80"]}, "never asked"),
        ({"outbound_private": ["168.63.129.16:80"]}, "never asked"),
        ({"token_file": "/nonexistent"}, "token file"),
        ({"token": "two words"}, "HOLDFAST_TOKEN"),
        ({"token": f"hft_k3fq7wz2ab_{'x' * 43}"}, "HOLDFAST_TOKEN holds the token k3fq7wz2ab, which a host has made"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_do(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        HostConfig.make(**settings)  # type: ignore[arg-type]


def test_what_may_be_asked_outside_is_read_from_its_flags() -> None:
    config = HostConfig.make(outbound_private=["10.0.0.5", "127.0.0.1:80", "Intranet.corp:8080", "::1", "[::2]:81"])
    mapped = HostConfig.make(outbound_private=["::ffff:10.0.0.5", "[::ffff:10.0.0.6]:80"])  # judged as what is in them

    assert config.outbound == ("https://*",)
    assert HostConfig.make(outbound=["none"]).outbound == ()
    assert mapped.outbound_private == (("10.0.0.5", None), ("10.0.0.6", 80))
    assert config.outbound_private == (
        ("10.0.0.5", None), ("127.0.0.1", 80), ("intranet.corp", 8080), ("::1", None), ("::2", 81),
    )  # fmt: skip


def test_limits_are_changed_by_name() -> None:
    limits = HostConfig.make(limits=["method_timeout_s=60", "mailbox_turns_max=10"]).limits

    assert (limits.method_timeout_s, limits.mailbox_turns_max) == (60.0, 10)
