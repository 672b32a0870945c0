"""What is seen and changed from outside: questions, edits, measures."""
