"""Edit a photo by its caption."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from editing.version import __version__

if TYPE_CHECKING:
    from editing.compare import Comparison, compare_with_inpainting
    from editing.edit import Editor, EditResult, edit_generated, edit_real
    from editing.inpaint import InpaintResult, inpaint_real
    from editing.settings import EditSettings, InpaintSettings, InversionSettings

__all__ = [
    "Comparison",
    "EditResult",
    "EditSettings",
    "Editor",
    "InpaintResult",
    "InpaintSettings",
    "InversionSettings",
    "__version__",
    "compare_with_inpainting",
    "edit_generated",
    "edit_real",
    "inpaint_real",
]

_HOMES = {
    "compare": ("Comparison", "compare_with_inpainting"),
    "edit": ("Editor", "EditResult", "edit_generated", "edit_real"),
    "inpaint": ("InpaintResult", "inpaint_real"),
    "settings": ("EditSettings", "InpaintSettings", "InversionSettings"),
}


def __getattr__(name: str) -> Any:
    """Imports a name's module when the name is first asked for."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"editing.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
