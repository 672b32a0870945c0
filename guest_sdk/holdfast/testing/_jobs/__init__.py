"""Jobs in tests: what actors leave to the host, and what a local host makes of it when the clock is moved."""
