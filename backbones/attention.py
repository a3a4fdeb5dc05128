"""The attention of a UNet: where it happens, and a context manager that hands its probabilities to a control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention


@dataclass(frozen=True)
class AttentionSite:
    """One attention layer of a UNet, for latents of one size.

    Attributes:
        name: The layer's module path, such as `up_blocks.2.attentions.0.transformer_blocks.0.attn2`.
        kind: `cross` (pixels look at the caption's tokens) or `self` (pixels look at pixels).
        height: Rows of the layer's query grid; the queries are `height * width`, row by row.
        width: Columns of it.
    """

    name: str
    kind: Literal["cross", "self"]
    height: int
    width: int


AttentionControl = Callable[[torch.Tensor, AttentionSite], torch.Tensor]
"""`(probs, site) -> probs`, both `(B, heads, Q, K)` with rows that sum to 1. Returns a new tensor or `probs` itself."""


def attention_sites(unet: UNet2DConditionModel, height: int, width: int) -> list[AttentionSite]:
    """Every attention layer of `unet`, in the order of its modules, for latents of `height` x `width`."""
    deepest = len(unet.config.block_out_channels) - 1
    sites = []
    for name, module in unet.named_modules():
        if not isinstance(module, Attention):
            continue
        block, index = name.split(".")[:2]
        halvings = deepest if block == "mid_block" else int(index) if block == "down_blocks" else deepest - int(index)
        kind: Literal["cross", "self"] = "cross" if name.endswith("attn2") else "self"
        # A stride-2 convolution with padding 1 rounds up, so does the negated floor division.
        sites.append(AttentionSite(name, kind, -(-height // 2**halvings), -(-width // 2**halvings)))
    return sites


class ControlledAttention:
    """An attention processor that shows its probabilities to a control before they weigh the values."""

    def __init__(self, site: AttentionSite, control: AttentionControl) -> None:
        self.site, self.control = site, control

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`hidden_states` `(B, Q, C)`, `encoder_hidden_states` `(B, K, C_text)` or None for self-attention."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        # The query is scaled before the product, which float16 would overflow in some models.
        scores = ((query * attn.scale) @ key.transpose(-1, -2)).float()
        if attention_mask is not None:
            batch, keys = len(query), key.shape[2]
            scores = scores + attn.prepare_attention_mask(attention_mask, keys, batch).unflatten(0, (batch, attn.heads))
        probs = self.control(scores.softmax(dim=-1), self.site)
        attended = (probs.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        dropout, project = attn.to_out[1], attn.to_out[0]
        return dropout(project(attended)) / attn.rescale_output_factor


@contextmanager
def controlled_attention(
    unet: UNet2DConditionModel, sites: Sequence[AttentionSite], control: AttentionControl
) -> Iterator[None]:
    """Puts `control` on the given sites; every other layer keeps its own, fused attention.

    The processors that were found are put back on leaving, whatever happens inside. A loop that controls by step
    enters once a step, with the step bound in `control`: there is nothing to count and nothing to reset.

    Raises:
        ValueError: `sites` is empty, or names a layer that `unet` does not have.
    """
    if not sites:
        raise ValueError("expected at least one attention layer to control, got none; the edit would do nothing")
    try:
        modules = {site: unet.get_submodule(site.name) for site in sites}
    except AttributeError as error:
        raise ValueError(f"expected attention layers of this UNet, got a site of another: {error}") from error
    found = {site: module.processor for site, module in modules.items()}
    try:
        for site, module in modules.items():
            module.set_processor(ControlledAttention(site, control))
        yield
    finally:
        for site, module in modules.items():
            module.set_processor(found[site])
