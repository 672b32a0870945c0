"""Why and where a guest stopped."""
