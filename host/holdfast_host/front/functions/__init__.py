"""Requests for functions: which function one is for, and its way there and back."""
