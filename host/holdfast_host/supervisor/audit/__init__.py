"""The audit log: what was changed through the management API, by whom."""
