"""Fixtures of the hostile tests."""

from __future__ import annotations

from tests.harness.fixtures import probe_component, probe_data, start_probe_host

__all__ = ["probe_component", "probe_data", "start_probe_host"]
