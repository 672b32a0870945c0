"""Components before they run: compiled in a limited process, validated, tried once, and kept by content."""
