"""Sockets: their events as turns, their closes to the end, and what leaves for their fronts."""
