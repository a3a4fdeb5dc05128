"""The layers of diffusers' `UNet2DConditionModel` that a control can take part in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D

from backbones.attention import Site
from backbones.errors import EditRealError

if TYPE_CHECKING:
    from backbones.backbone import Backbone

CHANNELS_AT_ONCE = 64  # full-size feature maps that a UNet holds while it runs, in multiples of its first width
_PLACES = {"down_blocks": (0, "encoder"), "mid_block": (1, "middle"), "up_blocks": (2, "decoder")}


def sites(backbone: Backbone, height: int, width: int) -> list[Site]:
    """Every attention layer and every residual block of the UNet."""
    unet = backbone.denoiser
    deepest = len(unet.config.block_out_channels) - 1
    found: list[tuple[int, str, str, Any, int]] = []
    for name, module in unet.named_modules():
        block, _, rest = name.partition(".")
        if block not in _PLACES or not isinstance(module, Attention | ResnetBlock2D):
            continue
        rank, part = _PLACES[block]
        index = deepest if part == "middle" else int(rest.split(".")[0])
        halvings = deepest - index if part == "decoder" else index
        found.append((rank, name, _kind(name, module), part, halvings + _resampled(module)))
    orders = {"cross": 0, "self": 0, "joint": 0, "residual": 0}
    ordered = []
    for _, name, kind, part, halvings in sorted(found, key=lambda one: one[0]):
        # A stride-2 convolution with padding 1 rounds up, so does the negated floor division.
        grid = -(-height // 2**halvings), -(-width // 2**halvings)
        ordered.append(Site(name, kind, part, orders[kind], *grid, share=0.5**halvings))  # type: ignore[arg-type]
        orders[kind] += 1
    return ordered


def activations(backbone: Backbone, height: int, width: int) -> int:
    """An estimate of the numbers that one row of a batch holds at once while the UNet runs on `height` x `width`."""
    return CHANNELS_AT_ONCE * int(backbone.denoiser.config.block_out_channels[0]) * height * width


def check_takes_latents(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Refuses a UNet that wants more than noisy latents, by the two networks' configurations.

    Raises:
        EditRealError: An inpainting, depth or instruction model.
    """
    wanted, given = unet.get("in_channels"), vae.get("latent_channels", 4)
    if wanted != given:
        raise EditRealError(
            f"expected a text-to-image model whose UNet takes {given} channels, got one that takes {wanted} (an "
            "inpainting, depth or instruction model); choose the text-to-image model that it was made from"
        )
    if unet.get("encoder_hid_dim_type") not in (None, "text_proj"):
        raise EditRealError(
            "expected a model that is told words alone, got one with an adapter for pictures "
            f"({unet['encoder_hid_dim_type']}); unload it first, pipeline.unload_ip_adapter() does"
        )


def _kind(name: str, module: Any) -> Literal["cross", "self", "joint", "residual"]:
    if isinstance(module, ResnetBlock2D):
        return "residual"
    if module.added_kv_proj_dim is not None and not module.only_cross_attention:
        return "joint"
    return "cross" if module.added_kv_proj_dim is not None or name.endswith("attn2") else "self"


def _resampled(module: Any) -> int:
    """How often a residual block halves the grid on the way to its output; some UNets resample in such blocks."""
    return int(isinstance(module, ResnetBlock2D)) and int(module.down) - int(module.up)
