"""The process that runs componentize-py: what is taken from it, and what it is told instead of chance and clock."""
