"""What operators and strangers see of a host."""
