"""Jobs: runs, calls and requests that instances have left to the host, and what became of them."""
