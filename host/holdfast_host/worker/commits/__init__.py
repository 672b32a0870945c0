"""Commits: the output gate, the groups, replies on their way out, and sweeping."""
