"""What `holdfast.client` does with answers and failures, without a host."""
