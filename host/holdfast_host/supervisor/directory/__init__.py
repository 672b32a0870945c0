"""The data directory: its folders, what it was made with, and the lock that gives it to one host."""
