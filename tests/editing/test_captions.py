"""Captions that say nothing."""

from __future__ import annotations

import pytest

from backbones.errors import EditRealError
from editing.captions import check_caption, check_captions


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0"])
def test_an_empty_caption_is_refused_by_name(text: str) -> None:
    with pytest.raises(EditRealError, match=r"^expected a new caption of a few words, such as .*, got '") as caught:
        check_caption(text, "new caption")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, 3, ["a rose"], b"a rose"])
def test_a_caption_is_text(text: object) -> None:
    with pytest.raises(EditRealError, match=r"^expected a caption as text, got "):
        check_caption(text)


@pytest.mark.parametrize("text", ["a", " a rose ", "薔薇", "3"])
def test_a_caption_that_says_something_passes(text: str) -> None:
    check_caption(text)
    check_captions([text, text])


def test_one_string_is_no_list_of_captions() -> None:
    with pytest.raises(
        EditRealError, match=r"^expected new_captions as a list of captions, got the single string 'a cat'"
    ):
        check_captions("a cat")
    with pytest.raises(EditRealError, match=r"^expected a caption in new_captions of a few words"):
        check_captions(["a cat", " "])
