"""Tokens: what may be done with them, and how they lie on disk."""
