"""The archive: what is committed and deployed, shipped to another place, and brought back as of any moment."""
