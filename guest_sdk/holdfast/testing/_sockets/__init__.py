"""Sockets of a local host: what actors do with them, and the clients that a test holds."""
