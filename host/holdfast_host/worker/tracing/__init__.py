"""Spans of turns and of what they ask outside. Nothing here is on the way of a worker that traces nothing."""
