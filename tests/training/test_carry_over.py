import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from backbones.errors import EditRealError
from training.carry_over import carry_over


def autoencoder(latent_channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        latent_channels=latent_channels,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    ).eval()


def unet(channels: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    ).eval()


@torch.no_grad()
def test_a_wider_autoencoder_goes_on_where_the_narrower_stood():
    torch.manual_seed(0)
    narrow, wide, pixels = autoencoder(4), autoencoder(6), torch.randn(2, 3, 16, 16)
    carry_over(narrow, wide)
    old, new = narrow.encode(pixels).latent_dist, wide.encode(pixels).latent_dist
    torch.testing.assert_close(new.mean[:, :4], old.mean)
    torch.testing.assert_close(new.logvar[:, :4], old.logvar)
    assert new.mean[:, 4:].std() > 0.01  # a new channel says something
    torch.testing.assert_close(wide.decode(new.mean).sample, narrow.decode(old.mean).sample)


@torch.no_grad()
def test_a_wider_denoiser_predicts_the_same_for_the_channels_it_knew():
    torch.manual_seed(0)
    narrow, wide, latents, embeds = unet(4), unet(6), torch.randn(2, 6, 8, 8), torch.randn(2, 5, 8)
    carry_over(narrow, wide)
    expected = narrow(latents[:, :4], 7, embeds).sample
    torch.testing.assert_close(wide(latents, 7, embeds).sample[:, :4], expected)


def test_weights_of_the_same_width_are_copied():
    source, target = unet(4), unet(4)
    carry_over(source, target)
    assert all(torch.equal(old, new) for old, new in zip(source.parameters(), target.parameters(), strict=True))


def test_other_networks_are_refused():
    with pytest.raises(EditRealError, match="conv_in"):
        carry_over(unet(6), unet(4))
    with pytest.raises(EditRealError, match="same network"):
        carry_over(autoencoder(4), unet(4))
    wider = unet(4)
    wider.time_embedding.linear_1 = torch.nn.Linear(8, 64)
    with pytest.raises(EditRealError, match="time_embedding"):
        carry_over(unet(4), wider)
