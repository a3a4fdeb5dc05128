"""The penalty is zero where the maps are on target, and training on it moves them there."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from training.grounding import cross_attention_maps, grounding_loss


def tiny_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    )


def left_half(side: int) -> torch.Tensor:
    masks = torch.zeros(1, 1, side, side)
    masks[..., : side // 2] = 1
    return masks


def test_zero_on_target_and_less_the_nearer() -> None:
    masks, counted = left_half(8), torch.tensor([[0.0, 1.0, 1.0]])
    inside, outside = torch.tensor([[0.0, 0.4, 0.0]]), torch.tensor([[0.0, 0.0, 0.3]])
    cells = left_half(4).flatten(2).transpose(1, 2)
    target = torch.cat([torch.full_like(cells, 0.6), 0.4 * cells, 0.3 * (1 - cells)], -1)
    even = torch.full_like(target, 1 / 3)
    losses = [
        float(grounding_loss([even.lerp(target, share)], masks, inside, outside, counted)) for share in (0.0, 0.5, 1.0)
    ]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 1e-12


def test_tokens_that_do_not_count_cost_nothing() -> None:
    probs, zeros = torch.rand(1, 16, 3), torch.zeros(1, 3)
    assert float(grounding_loss([probs], left_half(8), zeros, zeros, zeros)) == 0


def test_training_moves_the_maps_to_the_mask() -> None:
    unet, masks = tiny_unet(), left_half(8)
    latents, embeds = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 8)
    inside = torch.tensor([[0.0, 0.5, 0.0, 0.0, 0.0]])
    outside, counted = torch.zeros(1, 5), torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])
    optimizer = torch.optim.Adam(unet.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        with cross_attention_maps(unet) as maps:
            unet(latents, 10, embeds)
        loss = grounding_loss(maps, masks, inside, outside, counted)
        optimizer.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(1, 64))
    reached = [name for name, weight in unet.named_parameters() if weight.grad is not None and weight.grad.any()]
    assert any("attn2.to_q" in name for name in reached)
    assert any("resnets" in name for name in reached)
    assert losses[-1] < 0.7 * losses[0]


@torch.no_grad()
def test_recording_changes_nothing_and_is_undone() -> None:
    unet, latents, embeds = tiny_unet(), torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8)
    found = dict(unet.attn_processors)
    expected = unet(latents, 10, embeds).sample

    def interrupted() -> None:
        with cross_attention_maps(unet) as maps:
            torch.testing.assert_close(unet(latents, 10, embeds).sample, expected, atol=1e-5, rtol=1e-4)
            assert len(maps) == sum(".attn2." in name for name in found)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert dict(unet.attn_processors) == found
