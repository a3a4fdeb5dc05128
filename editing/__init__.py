"""Edit a photo by its caption."""

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
    "compare_with_inpainting",
    "edit_generated",
    "edit_real",
    "inpaint_real",
]
