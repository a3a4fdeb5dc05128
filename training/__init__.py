"""How the bundled model was made: each step is one resumable command (see training/README.md)."""
