"""Turns: instances in memory, their mailboxes, and running guest code for one of them."""
