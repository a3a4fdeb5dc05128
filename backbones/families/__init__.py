"""The families of models: one file each, by the `_class_name` of a diffusers pipeline."""

from backbones.backbone import Family
from backbones.families import deepfloyd, sdxl, stable_diffusion, stable_diffusion_3

FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": stable_diffusion.FAMILY,
    "StableDiffusionXLPipeline": sdxl.FAMILY,
    "IFPipeline": deepfloyd.FAMILY,
    "StableDiffusion3Pipeline": stable_diffusion_3.FAMILY,
}

REFUSED = {
    "StableDiffusionXLImg2ImgPipeline": "SDXL's refiner, which only finishes the base model's images; choose the base",
    "StableDiffusionInpaintPipeline": "an inpainting model; `edit-real compare --inpaint-model` takes it",
    "StableDiffusionXLInpaintPipeline": "an inpainting model; choose the base model",
    "StableDiffusionDepth2ImgPipeline": "a model that is told depths; choose a text-to-image model",
    "StableDiffusionInstructPix2PixPipeline": "a model that takes instructions; choose a text-to-image model",
    "StableDiffusionXLInstructPix2PixPipeline": "a model that takes instructions; choose a text-to-image model",
    "IFSuperResolutionPipeline": "the second stage of DeepFloyd IF, which enlarges; choose its first stage",
}
"""Pipelines that people have by the same names, and why they are none of `FAMILIES`."""
