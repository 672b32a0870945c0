"""Tenants: which there are."""
