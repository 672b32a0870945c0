"""Serving HTTP/1.1: the library's server, its connections, our answers, and what each client may take and use."""
