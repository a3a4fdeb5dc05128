"""Edit a photo by its caption."""

from editing.edit import Editor, EditResult, edit_generated, edit_real
from editing.settings import EditSettings, InversionSettings

__all__ = ["EditResult", "EditSettings", "Editor", "InversionSettings", "edit_generated", "edit_real"]
