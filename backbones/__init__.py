"""What a model is, and the way of a photo into it and back."""

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone

__all__ = ["Backbone", "EditRealError", "load_backbone"]
