"""Errors, limits, identities, clock, configuration, manifest. Imports nothing of ours."""
