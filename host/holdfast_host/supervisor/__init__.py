"""The first process: the directory's lock, the other processes, the registry, the order of stopping."""
