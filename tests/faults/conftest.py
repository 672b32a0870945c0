"""Fixtures of the fault tests."""

from __future__ import annotations

from tests.harness.fixtures import probe_component, probe_data

__all__ = ["probe_component", "probe_data"]
