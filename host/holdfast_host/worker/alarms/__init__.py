"""Alarms: what is due, its delivery as a turn, and what became of it."""
