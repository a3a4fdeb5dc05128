"""The page in the browser: `edit-real web`."""
