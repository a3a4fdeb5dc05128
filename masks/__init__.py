"""Where to change."""
