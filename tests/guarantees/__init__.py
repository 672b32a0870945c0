"""The guarantees, one module each, in the words of the README.

Each module shows its guarantee against a real host, and again against a host without the mechanism behind it, where the
same look must find faults: a test that cannot fail proves nothing.
"""
