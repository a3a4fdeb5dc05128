import threading
from collections.abc import Callable, Collection
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from backbones.attention import Control, Site, attention, attention_probs, controlled, gather
from backbones.backbone import Backbone
from backbones.processors import ControlledAttention


class Everywhere(Control):
    """Takes part at given sites and computes what the layer would, or what `change` makes of the attended values."""

    def __init__(self, sites: Collection[Site], change: Callable[[torch.Tensor], torch.Tensor] = lambda x: x) -> None:
        self._sites, self._change = sites, change
        self.seen: list[tuple[Site, int, torch.Tensor, torch.Tensor]] = []

    def sites(self, step: int) -> Collection[Site]:
        return self._sites

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        self.seen.append((site, step, query, key))
        return self._change(attention(query, key, value))

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self.seen.append((site, step, hidden, hidden))
        return self._change(hidden)


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


def attention_sites(backbone: Backbone, height: int = 16, width: int = 16) -> list[Site]:
    return [site for site in backbone.sites(height, width) if site.kind != "residual"]


def denoise(backbone: Backbone, latents: torch.Tensor, caption: str = "a photo of a red rose") -> torch.Tensor:
    with torch.no_grad():
        return backbone.denoise(latents, 500, backbone.condition([caption]).expand(len(latents)))


def processors(backbone: Backbone) -> dict[str, object]:
    return dict(backbone.denoiser.attn_processors)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 20), (20, 8), (9, 20), (13, 7)])
def test_sites_know_their_size(backbone: Backbone, deep_unet: UNet2DConditionModel, height: int, width: int) -> None:
    found: dict[str, tuple[int, ...]] = {}
    order: list[str] = []
    hooks = []
    for name, module in deep_unet.named_modules():
        if isinstance(module, Transformer2DModel):
            hook = lambda _, args, name=name: found.update({name: tuple(args[0].shape[-2:])})  # noqa: E731
            hooks.append(module.register_forward_pre_hook(hook))
    sites = replace(backbone, denoiser=deep_unet).sites(height, width)
    for site in sites:
        module = deep_unet.get_submodule(f"{site.name}.conv2" if site.kind == "residual" else site.name)

        def hook(_: object, args: tuple, output: torch.Tensor, site: Site = site) -> None:
            order.append(site.name)
            if site.kind == "residual":
                found[site.name] = tuple(output.shape[-2:])
            else:
                assert args[0].shape[1] == site.height * site.width, site

        hooks.append(module.register_forward_hook(hook))
    try:
        with torch.no_grad():
            deep_unet(torch.randn(1, 4, height, width), 1, torch.randn(1, 5, 16))
    finally:
        for handle in hooks:
            handle.remove()
    assert len({(site.height, site.width) for site in sites}) == 4
    for site in sites:
        assert found[site.name.split(".transformer_blocks")[0]] == (site.height, site.width), site
        assert site.height == -(-height // round(1 / site.share)), site
    for kind in ("cross", "self", "residual"):
        names = [site.name for site in sites if site.kind == kind]
        assert [name for name in order if name in names] == names, "sites are in the order of the latents' way"
        assert [site.order for site in sites if site.kind == kind] == list(range(len(names)))


def test_every_attention_layer_is_a_site_once(backbone: Backbone) -> None:
    sites = attention_sites(backbone)
    assert sorted(f"{site.name}.processor" for site in sites) == sorted(backbone.denoiser.attn_processors)
    assert {site.kind for site in sites} == {"cross", "self"}
    assert {site.part for site in sites} == {"encoder", "middle", "decoder"}
    assert all(site.name.startswith({"encoder": "down", "middle": "mid", "decoder": "up"}[site.part]) for site in sites)


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (3, 4, 8, 20), (1, 4, 9, 13)])
def test_the_identity_control_equals_the_model_alone(backbone: Backbone, shape: tuple[int, ...]) -> None:
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    alone = denoise(backbone, latents)
    sites = backbone.sites(*shape[-2:])
    control = Everywhere(sites)
    with controlled(backbone, control, step=3):
        under_control = denoise(backbone, latents)
    torch.testing.assert_close(under_control, alone, rtol=1e-4, atol=1e-5)
    assert [site for site, *_ in control.seen if site.kind == "residual"]
    assert {site for site, *_ in control.seen} == set(sites)
    assert {step for _, step, *_ in control.seen} == {3}


def test_probabilities_give_what_fused_attention_gives() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    probs = attention_probs(query, key)
    torch.testing.assert_close(probs.sum(-1), torch.ones(2, 4, 9))
    torch.testing.assert_close(gather(probs, value), attention(query, key, value), rtol=1e-4, atol=1e-5)


def test_the_control_sees_heads_queries_and_keys(backbone: Backbone, latents: torch.Tensor) -> None:
    control = Everywhere(attention_sites(backbone))
    with controlled(backbone, control, step=0):
        denoise(backbone, latents)
    for site, _, query, key in control.seen:
        queries, heads = site.height * site.width, backbone.denoiser.get_submodule(site.name).heads
        assert query.shape[:3] == (1, heads, queries)
        assert key.shape[:3] == (1, heads, 24 if site.kind == "cross" else queries)


@pytest.mark.parametrize("kind", ["cross", "self", "residual"])
def test_a_control_decides_what_happens_at_its_sites(backbone: Backbone, latents: torch.Tensor, kind: str) -> None:
    chosen = [site for site in backbone.sites(16, 16) if site.kind == kind]
    plain = denoise(backbone, latents)
    with controlled(backbone, Everywhere(chosen, torch.zeros_like), step=0):
        blind = [denoise(backbone, latents, text) for text in ("a cat", "a photo of a red rose")]
    assert not torch.allclose(plain, blind[1], atol=1e-5)
    assert torch.equal(*blind) == (kind == "cross"), "without cross-attention no caption is read"
    assert torch.equal(denoise(backbone, latents), plain)


def test_only_the_sites_that_are_asked_for_are_taken(backbone: Backbone) -> None:
    first, before = attention_sites(backbone)[0], processors(backbone)
    with controlled(backbone, Everywhere([first]), step=0):
        changed = [name for name, processor in processors(backbone).items() if processor is not before[name]]
    assert changed == [f"{first.name}.processor"]


@pytest.mark.parametrize("where", ["inside", "in the control", "nowhere"])
def test_what_was_found_is_put_back(backbone: Backbone, latents: torch.Tensor, where: str) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise KeyboardInterrupt

    control = Everywhere(backbone.sites(16, 16), fail if where == "in the control" else lambda x: x)
    before, plain = processors(backbone), denoise(backbone, latents)
    try:
        with controlled(backbone, control, step=0):
            assert all(isinstance(found, ControlledAttention) for found in processors(backbone).values())
            denoise(backbone, latents)
            if where == "inside":
                fail()
        assert where == "nowhere"
    except KeyboardInterrupt:
        assert where != "nowhere"
    after, calls = processors(backbone), len(control.seen)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert torch.equal(denoise(backbone, latents), plain)
    assert len(control.seen) == calls, "a hook stayed on a residual block"


def test_nested_contexts_restore_what_they_found(backbone: Backbone) -> None:
    sites, outermost = attention_sites(backbone), processors(backbone)
    with controlled(backbone, Everywhere(sites), step=0):
        outer = processors(backbone)
        with controlled(backbone, Everywhere(sites[:2]), step=0):
            assert sum(found is not outer[name] for name, found in processors(backbone).items()) == 2
        assert all(found is outer[name] for name, found in processors(backbone).items())
    assert all(found is outermost[name] for name, found in processors(backbone).items())


def test_a_site_of_another_model_is_an_error_and_changes_nothing(backbone: Backbone) -> None:
    sites, before = attention_sites(backbone), processors(backbone)
    foreign = replace(sites[0], name="mid_block.no_such_layer.attn2")
    with (
        pytest.raises(ValueError, match="layer of this model"),
        controlled(backbone, Everywhere([sites[1], foreign]), step=0),
    ):
        pass
    assert all(found is before[name] for name, found in processors(backbone).items())


def test_another_thread_waits_until_the_control_is_off(backbone: Backbone, latents: torch.Tensor) -> None:
    plain, found = denoise(backbone, latents), []
    other = threading.Thread(target=lambda: found.append(denoise(backbone, latents)))
    with controlled(backbone, Everywhere(backbone.sites(16, 16), torch.zeros_like), step=0):
        other.start()
        other.join(timeout=0.3)
        assert not found, "the model was used under another caller's control"
    other.join(timeout=30)
    assert torch.equal(found[0], plain)


def test_large_products_do_not_overflow_half_precision() -> None:
    query = torch.full((1, 1, 2, 64), 60.0).half()
    assert torch.isfinite(attention_probs(query, query)).all()
