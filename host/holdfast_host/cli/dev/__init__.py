"""What `holdfast dev` does besides serving."""
