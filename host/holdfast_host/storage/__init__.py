"""The Store protocol, its LMDB implementation, and the overlay of a turn. The only importer of lmdb."""
