from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.backbone import Backbone
from backbones.text import encode_prompt
from editing.blended import inpaint_blended, latent_mask
from inversion.ddim import ddim_sample
from inversion.schedule import make_schedule

pytestmark = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)

CAPTION = "a photo of a green rose"


@pytest.fixture(autouse=True)
def _one_model(model_folder: Path) -> None:
    """One prediction type will do for all."""


@pytest.mark.parametrize("steps", [1, 4])
def test_the_known_latents_end_as_the_photos(backbone: Backbone, latents: torch.Tensor, steps: int) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:9, 6:12] = True
    drawn = inpaint_blended(backbone, latents, CAPTION, mask, steps=steps, guidance_scale=7.5, seed=0)
    assert torch.equal(drawn[..., ~mask], latents[..., ~mask])
    assert (drawn[..., mask] != latents[..., mask]).all()


def test_the_known_latents_are_the_photos_at_every_level(backbone: Backbone, latents: torch.Tensor) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[:, :4] = True
    distances: list[float] = []

    def callback(_: int, drawn: torch.Tensor) -> None:
        distances.append(float((drawn - latents)[..., ~mask].abs().mean()))

    inpaint_blended(backbone, latents, CAPTION, mask, steps=5, guidance_scale=7.5, seed=0, callback=callback)
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.1 and distances[-1] == 0


def test_without_anything_known_it_is_plain_sampling(backbone: Backbone, latents: torch.Tensor) -> None:
    schedule = make_schedule(backbone, 4)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    uncond_embeds = encode_prompt(backbone, "").expand(4, -1, -1)
    expected = ddim_sample(backbone, schedule, noise, encode_prompt(backbone, CAPTION), uncond_embeds, 5.0)[-1:]
    mask = torch.ones(16, 16, dtype=torch.bool)
    drawn = inpaint_blended(backbone, latents, CAPTION, mask, steps=4, guidance_scale=5.0, seed=3)
    torch.testing.assert_close(drawn, expected, rtol=1e-3, atol=1e-3)


def test_the_caption_and_its_guidance_matter(backbone: Backbone, latents: torch.Tensor) -> None:
    mask = torch.ones(16, 16, dtype=torch.bool)
    variants = [(CAPTION, 7.5), ("a photo of a red dog", 7.5), (CAPTION, 1.0)]
    drawn = [
        inpaint_blended(backbone, latents, caption, mask, steps=3, guidance_scale=scale, seed=0)
        for caption, scale in variants
    ]
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("shape", [(48, 40), (33, 120), (16, 16), (9, 7)])
def test_no_masked_pixel_is_missed_in_the_latents(shape: tuple[int, int]) -> None:
    height, width = shape
    for y, x in [(0, 0), (height // 2, width // 3), (height - 1, width - 1)]:
        mask = np.zeros(shape, bool)
        mask[y, x] = True
        grown = latent_mask(mask, 8, 16)
        cells = np.zeros((8, 16), bool)
        for i in range(8):
            for j in range(16):
                rows = i / 8 * height < y + 1 and y < (i + 1) / 8 * height
                cells[i, j] = rows and j / 16 * width < x + 1 and x < (j + 1) / 16 * width
        assert np.array_equal(grown, cells)
