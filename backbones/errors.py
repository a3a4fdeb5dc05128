"""The one exception for what a user can put right."""


class EditRealError(ValueError):
    """Bad input. The message is one sentence or two: what was expected, what came, what to do."""
