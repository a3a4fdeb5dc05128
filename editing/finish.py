"""Edited latents -> pictures, mask and composite -> results."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from backbones.backbone import Backbone
from backbones.pixels import to_unit, unit_to_image, with_alpha
from backbones.view import View
from editing.pictures.heat import heat_images
from editing.plan import EditPlan
from editing.recipe import Recipe
from editing.result import EditResult
from editing.sample import Sampled
from editing.signs import read_signs
from editing.source import Drawn, Source, draw
from editing.trust import TrustModel
from editing.verdict import SURE, measure, trouble_of, warn
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps
from masks.composite import composite, enlarge_edit


def finish(
    backbone: Backbone,
    trajectory: Trajectory,
    view: View,
    plans: Sequence[EditPlan],
    source: Source,
    sampled: Sampled,
) -> list[EditResult]:
    """The results of a batch; arguments are those of `make_edits`, and what `sample_edits` gave."""
    unedited = source.drawn()
    if not torch.equal(sampled.source, trajectory.latents[-1:].to(backbone.device)):
        arrived = draw(backbone, sampled.source)  # without replay it is what guided sampling gives
        unedited = unedited._replace(source=arrived, guided=arrived)
    heats = heat_images(source.maps, plans[0].alignment.source, view.photo, view.geometry)
    return [
        finish_one(backbone, trajectory, view, plan, source.maps, sampled, index, unedited, heats)
        for index, plan in enumerate(plans)
    ]


def finish_one(
    backbone: Backbone,
    trajectory: Trajectory,
    view: View,
    plan: EditPlan,
    maps: AttentionMaps,
    sampled: Sampled,
    index: int,
    unedited: Drawn,
    heats: dict[str, Image.Image],
) -> EditResult:
    """The edit at `index` of the batch: decoded, composited, measured."""
    photo, place = np.asarray(view.photo.image), sampled.places[index]
    edited = to_unit(backbone.decode(sampled.latents[index : index + 1])[0])
    soft = place.soft_mask(sampled.maps[index])
    mask, part = place.fine_mask(soft), view.geometry.crop(photo)
    inside = view.geometry.crop(mask)
    enlarged = enlarge_edit(
        part, unedited.source, edited, inside, keep_detail=plan.settings.keep_detail, texture=plan.texture
    )
    result = view.geometry.paste(composite(part, enlarged, inside), photo)
    working_mask = place.working_mask(soft, unedited.ceiling)
    metrics = measure(
        working=to_unit(view.pixels[0]),
        ceiling=unedited.ceiling,
        guided=unedited.guided,
        source=unedited.source,
        edited=edited,
        working_mask=working_mask,
        photo=photo,
        result=result,
        mask=mask,
    )
    seen = {"result": result, "mask": mask, "drawn": edited, "source": unedited.source, "working_mask": working_mask}
    metrics |= read_signs(backbone, view, plan, maps, **seen)
    model = TrustModel.of(backbone)
    metrics["trust"] = math.nan if model is None else model.trust(metrics)
    return EditResult(
        image=with_alpha(Image.fromarray(result), view.photo),
        mask=Image.fromarray(mask),
        reconstruction=unit_to_image(unedited.source),
        drawn=unit_to_image(edited),
        heat_maps=dict(heats),
        trajectory=trajectory,
        metrics=metrics,
        warnings=warn(
            metrics,
            plan.alignment,
            backbone.known_words,
            local_blend=plan.settings.local_blend,
            held_back=plan.region.holds_back,
            reweighted=bool(plan.settings.reweight),
            exact=plan.settings.exact,
            control=plan.settings.control,
            attempts=plan.asked.attempts,
            model=model,
        ),
        trouble=trouble_of(metrics, model, local_blend=plan.settings.local_blend),
        doubt=trouble_of(metrics, model, local_blend=plan.settings.local_blend, least=SURE),
        settings=describe(backbone, trajectory, plan),
        photo=view.photo,
        recipe=Recipe.of(backbone, trajectory, plan),
    )


def describe(backbone: Backbone, trajectory: Trajectory, plan: EditPlan) -> dict[str, Any]:
    """All that an edit was made with, by the names that the settings have."""
    return {
        "caption": plan.alignment.source.text,
        "new_caption": plan.alignment.target.text,
        "model": backbone.name,
        "inversion": trajectory.method,
        "steps": trajectory.steps,
        "guidance_scale": trajectory.guidance_scale,
        "region": None if trajectory.geometry.is_whole else trajectory.geometry.box,
        **trajectory.report,
        **{field.name: getattr(plan.settings, field.name) for field in dataclasses.fields(plan.settings)},
        "kind": plan.kind,
        "texture": plan.texture,
        "mask_spread": plan.mask_spread,
        "source_words": [word.text for word in plan.region.source_words],
        "target_words": [word.text for word in plan.region.target_words],
    }
