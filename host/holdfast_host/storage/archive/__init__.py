"""What the archive keeps of each commit: as a worker writes it down, as it is shipped, and as it is read again."""
