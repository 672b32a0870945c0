"""Child processes: started, watched, replaced, and stopped in order."""
