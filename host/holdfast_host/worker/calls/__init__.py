"""Calls between actors: in this worker and to others, and rings of turns that wait for each other."""
