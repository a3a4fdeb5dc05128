"""Weights go from one version to the next wherever they fit, and words keep their embeddings."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from training.carry_over import carry_over, carry_over_words
from training.denoiser import build_text_encoder
from training.tokenizer import build_tokenizer


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


def test_a_denoiser_for_other_latents_keeps_all_but_its_ends() -> None:
    source, target = unet(4), unet(6)
    fresh = carry_over(source, target)
    assert sorted(fresh) == ["conv_in.weight", "conv_out.bias", "conv_out.weight"]
    olds, news = source.state_dict(), target.state_dict()
    assert all(torch.equal(olds[name], news[name]) for name in news if name not in fresh)


def test_weights_of_the_same_width_are_copied() -> None:
    source, target = unet(4), unet(4)
    assert carry_over(source, target) == []
    assert all(torch.equal(old, new) for old, new in zip(source.parameters(), target.parameters(), strict=True))


def test_a_token_keeps_its_embedding_wherever_it_stands(tmp_path: Path) -> None:
    rows = [
        {"kind": kind, "thing": thing, "things": thing + "s", "names": [], "color": color, "background": None}
        for kind, thing, color in (("flower", "rose", "red"), ("clothes", "shirt", "blue"))
    ]
    old_tokens, new_tokens = build_tokenizer(rows[:1], tmp_path / "old"), build_tokenizer(rows, tmp_path / "new")
    source, target = build_text_encoder(old_tokens), build_text_encoder(new_tokens)
    assert carry_over_words(source, old_tokens, target, new_tokens) == []
    old, new = (encoder.get_input_embeddings().weight for encoder in (source, target))
    olds, news = old_tokens.get_vocab(), new_tokens.get_vocab()
    shared = [token for token in news if token in olds]
    assert "rose</w>" in shared
    assert any(olds[token] != news[token] for token in shared)
    assert all(torch.equal(new[news[token]], old[olds[token]]) for token in shared)
    assert news["shirt</w>"] not in olds.values() or "shirt</w>" not in olds
    layers = "encoder.layers.0.mlp.fc1.weight"
    names = dict(source.named_parameters()), dict(target.named_parameters())
    layer = next(name for name in names[0] if name.endswith(layers))
    assert torch.equal(names[0][layer], names[1][layer])
