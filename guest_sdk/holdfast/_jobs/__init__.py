"""Jobs: what an instance leaves to the host, and what its methods are told when the host runs one."""
