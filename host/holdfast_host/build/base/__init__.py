"""Bases: what builds of the same SDK and packages have in common, and how a component comes of one and of sources."""
