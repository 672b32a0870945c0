"""Processes killed at any moment under load, and what is stored afterwards."""
