"""What a call is between processes: frames, the window of slots, what goes inside."""
