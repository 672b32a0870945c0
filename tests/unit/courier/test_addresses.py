"""Addresses that the courier may connect to."""

from __future__ import annotations

import errno
import ipaddress
import socket

import pytest

from holdfast_host.core.outbound import Target
from holdfast_host.courier import addresses
from holdfast_host.courier.addresses import AddressRefusedError, PrivateAccess, judge

NOBODY = PrivateAccess()
GLOBAL = ["1.1.1.1", "8.8.8.8", "192.31.196.1", "2606:4700:4700::1111", "2a00:1450:4001::1", "64:ff9b::101:101"]
REFUSED = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "2001:db8::1",
    "3fff::1", "3ffe::1", "5f00::1", "4000::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",  # mapped
    "::127.0.0.1", "::8.8.8.8",  # compatible
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110",  # NAT64
    "64:ff9b:1::808:808", "64:ff9b:1:7f00:1::",  # NAT64 of a network's own
    "2002:7f00:1::", "2002:808:808::",  # 6to4
    "2001:0:808:808::1",  # Teredo
    "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:7f00:1",  # ISATAP
]  # fmt: skip


@pytest.mark.parametrize("address", GLOBAL)
def test_a_global_unicast_address_may_be_dialled(address: str) -> None:
    judge(address, 443, NOBODY, None)


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_global_unicast_is_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        judge(address, 443, NOBODY, None)


def test_the_standard_library_would_let_some_of_them_through() -> None:
    """Why the table is the host's own."""
    passed = [each for each in REFUSED if ipaddress.ip_address(each.partition("%")[0]).is_global]

    assert {"fec0::1", "168.63.129.16", "2002:7f00:1::", "64:ff9b::7f00:1"} <= set(passed)


def test_an_address_of_this_machine_is_refused_though_it_looks_global(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_own", lambda address: str(address) == "1.1.1.1")

    with pytest.raises(AddressRefusedError, match=r"1\.1\.1\.1 is an address of this machine"):
        judge("1.1.1.1", 443, NOBODY, None)
    with pytest.raises(AddressRefusedError, match=r"64:ff9b::101:101 \(which is 1\.1\.1\.1\)"):
        judge("64:ff9b::101:101", 443, NOBODY, None)
    judge("1.0.0.1", 443, NOBODY, None)


def test_the_kernel_says_which_addresses_are_the_machines_own() -> None:
    assert addresses.is_own(ipaddress.ip_address("127.0.0.1"))
    assert not addresses.is_own(ipaddress.ip_address("1.1.1.1"))


def test_where_nobody_can_say_whose_an_address_is_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)

    with pytest.raises(AddressRefusedError, match="of this machine"):
        judge("1.1.1.1", 443, NOBODY, None)


def test_an_exception_is_for_its_address_and_its_port() -> None:
    private = PrivateAccess.of([("10.0.0.5", None), ("127.0.0.1", 9000), ("::1", 9001)])

    judge("10.0.0.5", 1, private, None)
    judge("::ffff:10.0.0.5", 1, private, None)
    judge("127.0.0.1", 9000, private, None)
    judge("::1", 9001, private, None)
    for address, port in [("10.0.0.6", 1), ("127.0.0.1", 9001), ("::1", 9000), ("127.0.0.2", 9000)]:
        with pytest.raises(AddressRefusedError):
            judge(address, port, private, None)


def test_an_exception_by_name_is_for_requests_to_that_name_and_port_alone() -> None:
    private = PrivateAccess.of([("intranet.corp", 8080)])
    meant = Target("http", "intranet.corp", 8080, "/")

    judge("10.1.2.3", 8080, private, meant)
    for other in [Target("http", "evil.example", 8080, "/"), Target("http", "intranet.corp", 80, "/"), None]:
        with pytest.raises(AddressRefusedError):
            judge("10.1.2.3", 8080 if other is None else other.port, private, other)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "168.63.129.16", "::ffff:169.254.169.254"])
def test_no_exception_reaches_what_is_link_local_or_the_platforms(address: str) -> None:
    private = PrivateAccess.of([("169.254.169.254", None), ("fe80::1", None), ("168.63.129.16", None), ("x.corp", 80)])

    with pytest.raises(AddressRefusedError, match="never"):
        judge(address, 80, private, Target("http", "x.corp", 80, "/"))
