"""The inspector: a page that shows the host to its operator, and the files that it is made of."""
