"""What is refused before a model is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backbones.errors import EditRealError
from backbones.photo import Photo, open_photo
from editing.checks import check_request
from editing.settings import EditSettings


@pytest.fixture
def photo() -> Photo:
    return open_photo(np.zeros((40, 48, 3), np.uint8))


def test_what_fits_passes(photo: Photo) -> None:
    settings = EditSettings(include_mask=np.ones((40, 48), bool))
    check_request(photo, region=(0, 0, 48, 40), settings=settings, caption="a rose", new_caption="a cat")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"caption": ""}, "expected a caption of a few words"),
        ({"caption": "a rose", "new_caption": " "}, "expected a new caption of a few words"),
        ({"region": (0, 0, 49, 40)}, "region"),
        ({"settings": EditSettings(include_mask=np.ones((48, 40), bool))}, "expected include_mask of the photo's size"),
        ({"settings": EditSettings(exclude_mask="no such file.png")}, "as exclude_mask"),
        (
            {"region": (0, 0, 20, 40), "settings": EditSettings(include_mask=np.arange(48) + np.zeros((40, 1)) > 30)},
            r"include_mask with white pixels in the region \(0, 0, 20, 40\)",
        ),
        ({"caption": "a rose\r"}, "expected a caption without control characters"),
        ({"caption": "!!!"}, "expected a caption of a few words"),
    ],
)
def test_what_does_not_is_refused(photo: Photo, request_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EditRealError, match=sentence):
        check_request(photo, **request_)
