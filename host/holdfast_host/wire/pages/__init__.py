"""Memory that two processes share, and what is read from it after a death."""
