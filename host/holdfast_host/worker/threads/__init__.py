"""Threads: which one leads, who watches it, and how those that compute share the cores."""
