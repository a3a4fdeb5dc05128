"""Edit a photo by its caption."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from editing.version import __version__

if TYPE_CHECKING:
    from editing.compare import Comparison, compare_with_inpainting
    from editing.edit import edit_real
    from editing.editor import Editor
    from editing.generated import edit_generated
    from editing.inpaint import InpaintResult, inpaint_real
    from editing.propose import Proposal, propose_caption
    from editing.recipe import Recipe, read_recipe
    from editing.result import EditResult
    from editing.settings import EditSettings, InpaintSettings, InversionSettings

__all__ = [
    "Comparison",
    "EditResult",
    "EditSettings",
    "Editor",
    "InpaintResult",
    "InpaintSettings",
    "InversionSettings",
    "Proposal",
    "Recipe",
    "__version__",
    "compare_with_inpainting",
    "edit_generated",
    "edit_real",
    "inpaint_real",
    "propose_caption",
    "read_recipe",
]

_HOMES = {
    "compare": ("Comparison", "compare_with_inpainting"),
    "edit": ("edit_real",),
    "editor": ("Editor",),
    "generated": ("edit_generated",),
    "propose": ("Proposal", "propose_caption"),
    "recipe": ("Recipe", "read_recipe"),
    "result": ("EditResult",),
    "inpaint": ("InpaintResult", "inpaint_real"),
    "settings": ("EditSettings", "InpaintSettings", "InversionSettings"),
}


def __getattr__(name: str) -> Any:
    """Imports a name's module when the name is first asked for."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"editing.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
