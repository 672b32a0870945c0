"""Sockets that instances accepted: WebSockets and event streams, from the handshake to the end of the connection."""
