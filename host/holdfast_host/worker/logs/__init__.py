"""What guests print, on its way to disk and back."""
