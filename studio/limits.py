"""What a model can and cannot do, in words."""

from __future__ import annotations

from backbones.backbone import Backbone


def say_limits(backbone: Backbone) -> str:
    """How finely a model sees, and what it knows, in two sentences."""
    size = f"It sees a photo at {backbone.image_size} × {backbone.image_size} pixels"
    if backbone.known_words is None:
        return f"{size}. Its vocabulary is open: describe what you see."
    kinds = backbone.words or {"": tuple(sorted(backbone.known_words))}
    words = "; ".join(f"{kind}: {', '.join(found)}" if kind else ", ".join(found) for kind, found in kinds.items())
    return f"{size} and was trained on these words alone. {words}. Of others it may draw anything."
