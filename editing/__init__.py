"""Edit a photo by its caption."""

from editing.compare import Comparison, compare_with_inpainting
from editing.edit import edit_real
from editing.editor import Editor
from editing.generated import edit_generated
from editing.inpaint import InpaintResult, inpaint_real
from editing.result import EditResult
from editing.settings import EditSettings, InpaintSettings
from inversion.settings import InversionSettings

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
