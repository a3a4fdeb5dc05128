"""Many edits: jobs in, a folder of results out, each of them exactly once."""
