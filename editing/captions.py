"""Captions as a user hands them over, refused where they say nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backbones.errors import EditRealError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that no terminal should be sent, and halves of characters."""


def check_caption(text: object, what: str = "caption") -> None:
    """Refuses what is no text, text without a letter or digit, or with control characters.

    Args:
        text: As handed over.
        what: Its name in the error: `caption` or `new caption`.

    Raises:
        EditRealError: It is none.
    """
    if not isinstance(text, str):
        raise EditRealError(f"expected a {what} as text, got {type(text).__name__}")
    if CONTROL.search(text):
        raise EditRealError(f"expected a {what} without control characters, got {text!r}; retype it")
    if not any(map(str.isalnum, text)):
        raise EditRealError(f"expected a {what} of a few words, such as 'a photo of a red rose', got {text!r}")


def check_captions(texts: Sequence[str], what: str = "new_captions") -> None:
    """Refuses what is no list of captions; a bare string would be taken letter by letter.

    Raises:
        EditRealError: It is none, or holds a caption that says nothing.
    """
    if isinstance(texts, str):
        raise EditRealError(f"expected {what} as a list of captions, got the single string {texts!r}; put it in a list")
    for text in texts:
        check_caption(text, f"caption in {what}")
