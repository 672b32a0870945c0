"""Calls to instances: what is checked of them without the worker, and what a front knows of the types."""
