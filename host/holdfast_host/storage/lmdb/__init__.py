"""The Store on LMDB: one environment a partition, its rows, reads, commits and sweeps."""
