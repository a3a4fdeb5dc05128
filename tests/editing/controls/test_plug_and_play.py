"""Plug-and-play: which layers it takes, when, and what it puts into them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from backbones import unet
from backbones.attention import Site, attention, controlled
from backbones.backbone import Backbone
from backbones.errors import EditRealError
from editing.controls.plug_and_play import PlugAndPlay, layers_of
from editing.editor import Editor
from editing.rows import Rows

CAPTION, NEW = "a photo of a red rose", "a photo of a red cat"


def sites_of(latent_side: int, **shape: object) -> list[Site]:
    """Those of a UNet of this shape, which is never computed."""

    class Shape:
        with torch.device("meta"):
            denoiser = UNet2DConditionModel(**shape)

    return unet.sites(Shape(), latent_side, latent_side)  # type: ignore[arg-type]


def stable_diffusion_sites(latent_side: int) -> list[Site]:
    """Those of Stable Diffusion 1."""
    return sites_of(latent_side, sample_size=64, cross_attention_dim=768)


def sdxl_sites() -> list[Site]:
    """Those of SDXL, whose blocks of attention hold 2 layers of self-attention, or 10."""
    return sites_of(
        128,
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
    )


@pytest.mark.parametrize("latent_side", [64, 96])
def test_the_published_layers_are_found_at_every_size(latent_side: int) -> None:
    features, of_attention = layers_of(stable_diffusion_sites(latent_side))
    assert [site.name for site in features] == ["up_blocks.1.resnets.1"]
    assert [site.name.partition(".transformer")[0] for site in of_attention] == [
        f"up_blocks.{block}.attentions.{layer}"
        for block, layer in [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]
    ]


def test_blocks_of_several_layers_are_counted_as_blocks() -> None:
    features, of_attention = layers_of(sdxl_sites())
    assert [site.name for site in features] == ["up_blocks.0.resnets.1"]
    counted = Counter(site.name.partition(".transformer")[0] for site in of_attention)
    layers = [("0", 1, 10), ("0", 2, 10), ("1", 0, 2), ("1", 1, 2), ("1", 2, 2)]
    assert counted == {f"up_blocks.{block}.attentions.{index}": number for block, index, number in layers}


def test_a_small_model_gives_its_coarsest_layer_that_holds_a_layout(bundled: Backbone) -> None:
    features, of_attention = layers_of(bundled.sites(16, 16))
    assert [(site.name, site.side) for site in features] == [("up_blocks.1.resnets.1", 8)]
    assert [site.side for site in of_attention] == [8, 16, 16]


def test_a_grid_of_one_block_gives_that_and_no_block_gives_none() -> None:
    only = Site("up.0.resnets.0", "residual", "decoder", 0, 8, 8, 0.5)
    beside = Site("up.0.attn", "self", "decoder", 0, 8, 8, 0.5)
    assert layers_of([only, beside]) == ([only], [beside])
    assert layers_of([beside]) == ([], [beside])


def test_features_end_after_four_fifths_and_attention_after_half() -> None:
    sites = stable_diffusion_sites(64)
    features, of_attention = layers_of(sites)
    asked = [list(PlugAndPlay(edits=1, sampled=range(50), sites=sites).sites(step)) for step in range(50)]
    assert asked == [[*features, *of_attention]] * 25 + [features] * 15 + [[]] * 10


def test_every_row_gets_the_sources_features_and_its_queries_and_keys_with_its_own_values(bundled: Backbone) -> None:
    sites = bundled.sites(16, 16)
    control, (features, of_attention) = PlugAndPlay(edits=2, sampled=range(50), sites=sites), layers_of(sites)
    generator = torch.Generator().manual_seed(0)
    hidden, (query, key, value) = (
        torch.randn(shape, generator=generator) for shape in ((5, 8, 4, 4), (3, 5, 2, 16, 8))
    )
    before = hidden.clone()
    changed = control.features(features[0], hidden, step=0)
    found = control.attend(of_attention[0], query, key, value, step=0)
    for row in range(5):
        assert torch.equal(changed[row], before[0])
        torch.testing.assert_close(found[row], attention(query[0], key[0], value[row]), rtol=1e-4, atol=1e-5)
    assert torch.equal(hidden, before)


def test_the_source_is_predicted_as_if_alone(backbone: Backbone, latents: torch.Tensor) -> None:
    source, target = backbone.condition([CAPTION]), backbone.condition([NEW])
    rows, other = Rows(edits=1), latents.flip(-1)
    condition = rows.conditions(source, backbone.condition([""]), target)
    with torch.no_grad(), controlled(backbone, PlugAndPlay(1, range(10), backbone.sites(16, 16)), step=0):
        together = backbone.denoise(rows.join(latents, other), 500, condition)
    with torch.no_grad():
        alone, free = backbone.denoise(latents, 500, source), backbone.denoise(other, 500, target)
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
    assert (together[2:] - free).abs().max() > 1e-4


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_the_caption_unchanged_and_no_guidance_is_the_photo(editor: Editor, model_folder: Path) -> None:
    """Where the target is the source, its features are its own."""
    photo = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    trajectory = editor.invert(photo, CAPTION, inversion="direct", steps=4, guidance_scale=1.0)
    plain, held = (
        editor.edit(trajectory, CAPTION, control=control, local_blend=False, emphasis=1.0, exact=False)
        for control in ("replace", "plug_and_play")
    )
    assert np.abs(np.asarray(plain.drawn).astype(int) - np.asarray(held.drawn)).max() <= 1


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_a_words_weight_is_refused(editor: Editor, model_folder: Path) -> None:
    with pytest.raises(EditRealError, match="no reweight with control='plug_and_play'"):
        editor.check(CAPTION, NEW, (40, 40), control="plug_and_play", reweight={"cat": 2.0})
