"""Which photos of the list have a ground truth that is wrong to the eye.

Most of the truths were found by a photo's colours, and some miss a trouser leg, or take the wall for the flower. In
`unsound.json` are the photos whose region misses, or takes in, more than a tenth of what the caption names, or whose
caption names something else; each with why. A vision-language model was shown each photo and its region three times,
and no edit; two of its answers had to agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

UNSOUND = Path(__file__).with_name("unsound.json")


def photo_of(name: str) -> str:
    """The photo of an edit: the edit's name without its number."""
    return name.rpartition("-")[0]


def is_sound(name: str) -> bool:
    """Whether an edit of that name is judged by a ground truth that holds."""
    return photo_of(name) not in _unsound()


@cache
def _unsound() -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(UNSOUND.read_text(encoding="utf-8"))
    return found
