"""Pictures of what the model attends to, and of what its layers hold."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from backbones.photo import Photo
from editing.align import content_words
from editing.editor import Editor
from editing.features import decoder_features
from editing.pictures.features import draw_features
from editing.pictures.heat import heat_image
from editing.pictures.overlay import overlay_heat
from editing.pictures.sheet import draw_sheet
from inversion.trajectory import Trajectory

LEVELS = 4  # from noise to photo, fewer where there are fewer steps


def attention_sheet(editor: Editor, trajectory: Trajectory, photo: Photo, *, over_steps: bool = False) -> Image.Image:
    """A heat map for each word of the caption; with `over_steps`, each content word from noise to photo.

    Args:
        editor: Holds the model.
        trajectory: Of the photo.
        photo: The photo.
        over_steps: Several noise levels of every content word instead of one mean of every word.
    """
    caption = editor.backbone.parse(trajectory.caption)
    words = [word for word in caption.words if word.positions and not word.is_punctuation]
    geometry = trajectory.geometry
    panels = [("photo", photo.image)]
    if over_steps:
        maps = editor.attention(trajectory, levels=LEVELS, start=0.0)
        panels += [
            (
                f"“{word.text}”, {step} of {trajectory.steps} steps done",
                overlay_heat(photo.image, heat_image(maps, word.positions, photo, geometry, step=index)),
            )
            for word in content_words(caption)
            for index, step in enumerate(trajectory.spread_steps(LEVELS))
        ]
    else:
        maps = editor.attention(trajectory)
        panels += [
            (f"“{word.text}”", overlay_heat(photo.image, heat_image(maps, word.positions, photo, geometry)))
            for word in words
        ]
    return draw_sheet(panels, trajectory.caption)


def feature_sheet(
    editor: Editor, trajectory: Trajectory, photo: Photo, steps: Sequence[int] | None = None
) -> Image.Image:
    """The decoder's features of a photo, a row for each layer and a column for each of the steps.

    Args:
        editor: Holds the model.
        trajectory: Of the photo.
        photo: The photo.
        steps: At which to look, from 0 (noise); some from noise to photo by default.
    """
    chosen = steps or trajectory.spread_steps(LEVELS)
    return draw_features(decoder_features(editor.backbone, trajectory, chosen), trajectory, photo, chosen)
