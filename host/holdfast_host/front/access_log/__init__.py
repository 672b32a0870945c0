"""The access log: one line a request, for who asks for it. Where it is off, nothing of this folder is on the way."""
