"""Fixtures of all tests against real hosts. They are here, once, so that what lives for a session is made once."""

from __future__ import annotations

from tests.harness.fixtures import (
    account_component,
    probe_component,
    probe_data,
    probe_host,
    running_hosts,
    start_probe_host,
)

__all__ = ["account_component", "probe_component", "probe_data", "probe_host", "running_hosts", "start_probe_host"]
