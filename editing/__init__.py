"""Edit a photo by its caption."""

from editing.edit import Editor, EditResult, edit_generated, edit_real
from editing.inpaint import InpaintResult, inpaint_real
from editing.settings import EditSettings, InpaintSettings, InversionSettings

__all__ = [
    "EditResult",
    "EditSettings",
    "Editor",
    "InpaintResult",
    "InpaintSettings",
    "InversionSettings",
    "edit_generated",
    "edit_real",
    "inpaint_real",
]
