from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from backbones.attention import AttentionSite, ControlledAttention, attention_sites, controlled_attention
from backbones.backbone import Backbone
from backbones.text import encode_prompt


@pytest.fixture(scope="module")
def deep_unet() -> UNet2DConditionModel:
    """Attention at three resolutions, as in Stable Diffusion, and none at the deepest level's own blocks."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 8, 16, 16),
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    ).eval()


def keep(probs: torch.Tensor, site: AttentionSite) -> torch.Tensor:
    return probs


def noise_pred(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return backbone.noise_pred(latents, 500, encode_prompt(backbone, "a photo of a red rose"))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 20), (20, 8), (9, 20), (13, 7)])
def test_sites_know_their_size(deep_unet: UNet2DConditionModel, height: int, width: int) -> None:
    found: dict[str, tuple[int, ...]] = {}
    queries: dict[str, int] = {}
    hooks = []
    for name, module in deep_unet.named_modules():
        if isinstance(module, Transformer2DModel):
            hook = lambda _, args, name=name: found.update({name: tuple(args[0].shape[-2:])})  # noqa: E731
            hooks.append(module.register_forward_pre_hook(hook))
    sites = attention_sites(deep_unet, height, width)
    for site in sites:
        hook = lambda _, args, name=site.name: queries.update({name: args[0].shape[1]})  # noqa: E731
        hooks.append(deep_unet.get_submodule(site.name).register_forward_pre_hook(hook))
    try:
        with torch.no_grad():
            deep_unet(torch.randn(1, 4, height, width), 1, torch.randn(1, 5, 16))
    finally:
        for handle in hooks:
            handle.remove()
    assert sites
    assert len({(site.height, site.width) for site in sites}) == 4
    for site in sites:
        assert found[site.name.split(".transformer_blocks")[0]] == (site.height, site.width), site
        assert queries[site.name] == site.height * site.width, site


def test_every_attention_layer_is_a_site_once(backbone: Backbone) -> None:
    sites = attention_sites(backbone.unet, 16, 16)
    assert sorted(f"{site.name}.processor" for site in sites) == sorted(backbone.unet.attn_processors)
    assert {site.kind for site in sites} == {"cross", "self"}


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (3, 4, 8, 20), (1, 4, 9, 13)])
def test_the_identity_control_equals_fused_attention(backbone: Backbone, shape: tuple[int, ...]) -> None:
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        embeds = encode_prompt(backbone, "a photo of a red rose").expand(shape[0], -1, -1)
        fused = backbone.noise_pred(latents, 500, embeds)
        with controlled_attention(backbone.unet, attention_sites(backbone.unet, *shape[-2:]), keep):
            controlled = backbone.noise_pred(latents, 500, embeds)
    torch.testing.assert_close(controlled, fused, rtol=1e-4, atol=1e-5)


def test_the_control_sees_rows_that_sum_to_1(backbone: Backbone, latents: torch.Tensor) -> None:
    seen: dict[AttentionSite, torch.Tensor] = {}

    def look(probs: torch.Tensor, site: AttentionSite) -> torch.Tensor:
        seen[site] = probs
        return probs

    sites = attention_sites(backbone.unet, 16, 16)
    with controlled_attention(backbone.unet, sites, look):
        noise_pred(backbone, latents)
    assert list(dict.fromkeys(sites)) == sorted(seen, key=sites.index)
    for site, probs in seen.items():
        queries, heads = site.height * site.width, backbone.unet.get_submodule(site.name).heads
        assert probs.shape == (1, heads, queries, 24 if site.kind == "cross" else queries)
        assert probs.dtype == torch.float32
        assert (probs >= 0).all()
        torch.testing.assert_close(probs.sum(-1), torch.ones(probs.shape[:-1]), rtol=1e-5, atol=1e-5)


def test_a_control_decides_what_is_attended_to(backbone: Backbone, latents: torch.Tensor) -> None:
    cross = [site for site in attention_sites(backbone.unet, 16, 16) if site.kind == "cross"]
    plain = noise_pred(backbone, latents)
    with controlled_attention(backbone.unet, cross, lambda probs, site: torch.zeros_like(probs)):
        prompts = [encode_prompt(backbone, text) for text in ("a cat", "a red rose")]
        blind = [backbone.noise_pred(latents, 500, embeds).detach() for embeds in prompts]
    assert torch.equal(*blind)
    assert not torch.allclose(plain, blind[1], atol=1e-5)


def test_only_the_given_sites_are_controlled(backbone: Backbone, latents: torch.Tensor) -> None:
    first = attention_sites(backbone.unet, 16, 16)[0]
    before = dict(backbone.unet.attn_processors)
    with controlled_attention(backbone.unet, [first], keep):
        changed = [name for name, processor in backbone.unet.attn_processors.items() if processor is not before[name]]
    assert changed == [f"{first.name}.processor"]


@pytest.mark.parametrize("where", ["inside", "in the control", "nowhere"])
def test_processors_are_restored(backbone: Backbone, latents: torch.Tensor, where: str) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise KeyboardInterrupt

    control: Callable[..., torch.Tensor] = fail if where == "in the control" else keep
    before = dict(backbone.unet.attn_processors)
    try:
        with controlled_attention(backbone.unet, attention_sites(backbone.unet, 16, 16), control):
            assert all(isinstance(found, ControlledAttention) for found in backbone.unet.attn_processors.values())
            noise_pred(backbone, latents)
            if where == "inside":
                fail()
        assert where == "nowhere"
    except KeyboardInterrupt:
        assert where != "nowhere"
    after = backbone.unet.attn_processors
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_nested_contexts_restore_what_they_found(backbone: Backbone) -> None:
    sites = attention_sites(backbone.unet, 16, 16)
    outermost = dict(backbone.unet.attn_processors)
    with controlled_attention(backbone.unet, sites, keep):
        outer = dict(backbone.unet.attn_processors)
        with controlled_attention(backbone.unet, sites[:2], lambda probs, site: probs * 2):
            inner = backbone.unet.attn_processors
            assert sum(inner[name] is not outer[name] for name in outer) == 2
        assert all(found is outer[name] for name, found in backbone.unet.attn_processors.items())
    assert all(found is outermost[name] for name, found in backbone.unet.attn_processors.items())


@pytest.mark.parametrize("sites", [[], [AttentionSite("mid_block.no_such_layer.attn2", "cross", 8, 8)]])
def test_sites_that_control_nothing_are_an_error(backbone: Backbone, sites: list[AttentionSite]) -> None:
    before = dict(backbone.unet.attn_processors)
    with pytest.raises(ValueError, match="attention layer"), controlled_attention(backbone.unet, sites, keep):
        pass
    assert all(found is before[name] for name, found in backbone.unet.attn_processors.items())


def test_masked_tokens_are_masked_under_a_control_too(backbone: Backbone, latents: torch.Tensor) -> None:
    embeds = encode_prompt(backbone, "a photo of a red rose").expand(3, -1, -1)
    visible = torch.arange(24)[None] < torch.tensor([24, 5, 2])[:, None]
    sites = attention_sites(backbone.unet, 16, 16)
    with torch.no_grad():
        inputs = latents.expand(3, -1, -1, -1), 500, embeds
        fused = backbone.unet(*inputs, encoder_attention_mask=visible).sample
        with controlled_attention(backbone.unet, sites, keep):
            controlled = backbone.unet(*inputs, encoder_attention_mask=visible).sample
    torch.testing.assert_close(controlled, fused, rtol=1e-4, atol=1e-5)


def test_large_products_do_not_overflow_half_precision(backbone: Backbone) -> None:
    site = attention_sites(backbone.unet, 16, 16)[0]
    attention = backbone.unet.get_submodule(site.name)
    seen = []
    half = [torch.nn.Linear(8, 8, bias=False, dtype=torch.float16) for _ in range(3)]
    for layer in half:
        torch.nn.init.eye_(layer.weight)

    class Stub:
        heads, scale, rescale_output_factor = 1, 1 / 8, 1.0
        to_q, to_k, to_v = half
        to_out = attention.to_out[1], attention.to_out[1]

    ControlledAttention(site, lambda probs, _: seen.append(probs) or probs)(Stub(), torch.full((1, 2, 8), 120.0).half())
    assert torch.isfinite(seen[0]).all()
