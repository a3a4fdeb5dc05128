"""Speed, memory and quality, as tables written by commands."""
