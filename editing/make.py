"""Plans of one photo's edits -> results: sampled, finished, and made again where the verdict asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from backbones.backbone import Backbone
from editing.attempts import make_with_second_thoughts
from editing.finish import finish
from editing.plan import EditPlan
from editing.result import EditResult
from editing.sample import sample_edits
from editing.source import Look
from inversion.progress import Progress


def make_edits(backbone: Backbone, look: Look, plans: Sequence[EditPlan], progress: Progress) -> list[EditResult]:
    """The results of edits that are sampled in one batch.

    Args:
        backbone: The model.
        look: At the photo, or at a part of it.
        plans: One or more, alike in `control` and `exact`.
        progress: Told of every step.
    """
    trajectory, view, source = look

    def make(plans: Sequence[EditPlan]) -> list[EditResult]:
        with progress.phase("edit", trajectory.steps) as callback:
            sampled = sample_edits(
                backbone,
                trajectory,
                view,
                plans,
                source.maps,
                source_rows=source.rows,
                outlines=source.outlines,
                callback=callback,
            )
        return finish(backbone, trajectory, view, plans, source, sampled)

    return make_with_second_thoughts(make, plans)
