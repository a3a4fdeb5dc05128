"""What stands in the page's fields, for tests."""

from __future__ import annotations

from typing import Any

from studio.web.actions import Asked
from studio.web.form import form_fields

CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"
QUICK = {"inversion": "direct", "steps": 3, "refinement": "plain"}
"""The maps of random weights are noise, which GrabCut may well grow to the whole frame."""


def form(**values: Any) -> list[Any]:
    """The widgets' values: the defaults, and `values` by name."""
    return [values.get(field.name, field.show(field.default)) for field in form_fields()]


def asked(model: str, caption: str = CAPTION, new_caption: str = NEW, strokes: str = "", **more: Any) -> Asked:
    region = more.pop("region", "")
    return Asked(caption, new_caption, strokes, model, form(**{**QUICK, **more}), region)
