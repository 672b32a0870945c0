"""Fixtures of the crash tests."""

from __future__ import annotations

from tests.harness.fixtures import account_component, probe_component, probe_data, start_probe_host

__all__ = ["account_component", "probe_component", "probe_data", "start_probe_host"]
