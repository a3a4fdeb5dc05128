"""The families of models: one file each, by the `_class_name` of a diffusers pipeline."""

from backbones.backbone import Family
from backbones.families import stable_diffusion

FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": stable_diffusion.FAMILY,
}
