"""Ways in, and ways to look."""
