"""Finding how many workers and fronts serve most calls on a machine: what to try next, the load, and the hosts."""
