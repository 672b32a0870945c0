"""Fixtures of the walkthroughs."""

from __future__ import annotations

from tests.harness.fixtures import account_component

__all__ = ["account_component"]
