"""What stands in an attention layer while a control decides: queries, keys and values are made as the layer makes them.

Where text and pixels share one softmax, a control sees the pixels' queries, and keys and values of the text followed by
those of the pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

    from backbones.attention import Control, Site


class ControlledAttention:
    """Attention of pixels to pixels or to the caption's tokens."""

    def __init__(self, site: Site, control: Control, step: int) -> None:
        self.site, self.control, self.step = site, control, step

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """`hidden_states` `(B, Q, C)`, `encoder_hidden_states` `(B, K, C_text)` or None for self-attention."""
        assert attention_mask is None, "a controlled layer takes no attention mask"
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _normed(attn.norm_q, _split(attn, attn.to_q(hidden_states)))
        key = _normed(attn.norm_k, _split(attn, attn.to_k(context)))
        attended = self._attend(query, key, _split(attn, attn.to_v(context)))
        return _projected(attn.to_out, attended) / attn.rescale_output_factor

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return self.control.attend(self.site, query, key, value, self.step)


class WithTextKeys(ControlledAttention):
    """Attention of pixels to the caption's tokens and to pixels, as DeepFloyd IF has it, with its norm and residual."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """`hidden_states` `(B, C, h, w)`, `encoder_hidden_states` `(B, K, C_text)`."""
        assert attention_mask is None and encoder_hidden_states is not None
        text, residual = encoder_hidden_states, hidden_states
        if attn.norm_cross:
            text = attn.norm_encoder_hidden_states(text)
        pixels = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
        query, key, value = (_split(attn, project(pixels)) for project in (attn.to_q, attn.to_k, attn.to_v))
        text_key, text_value = (_split(attn, project(text)) for project in (attn.add_k_proj, attn.add_v_proj))
        attended = self._attend(query, torch.cat([text_key, key], 2), torch.cat([text_value, value], 2))
        return _projected(attn.to_out, attended).transpose(1, 2).reshape(residual.shape) + residual


class WithTextStream(ControlledAttention):
    """Attention of pixels and tokens to both, as Stable Diffusion 3 has it; the control decides what pixels gather."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """`hidden_states` `(B, Q, C)`, `encoder_hidden_states` `(B, K, C)`; the same shapes are returned."""
        assert attention_mask is None and encoder_hidden_states is not None
        pixels, text = hidden_states, encoder_hidden_states
        query = _normed(attn.norm_q, _split(attn, attn.to_q(pixels)))
        text_query = _normed(attn.norm_added_q, _split(attn, attn.add_q_proj(text)))
        keys = (
            _normed(attn.norm_added_k, _split(attn, attn.add_k_proj(text))),
            _normed(attn.norm_k, _split(attn, attn.to_k(pixels))),
        )
        key = torch.cat(keys, 2)
        value = torch.cat([_split(attn, attn.add_v_proj(text)), _split(attn, attn.to_v(pixels))], 2)
        attended = self._attend(query, key, value)
        of_text = F.scaled_dot_product_attention(text_query, key, value).transpose(1, 2).flatten(2)
        return _projected(attn.to_out, attended), of_text if attn.context_pre_only else attn.to_add_out(of_text)


def processor_for(module: Any, site: Site, control: Control, step: int) -> ControlledAttention:
    """What stands in a layer for a control."""
    if module.added_kv_proj_dim is None:
        return ControlledAttention(site, control, step)
    return (WithTextKeys if getattr(module, "add_q_proj", None) is None else WithTextStream)(site, control, step)


def _split(attn: Attention, projected: torch.Tensor) -> torch.Tensor:
    """`(B, Q, heads * d)` to `(B, heads, Q, d)`."""
    return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def _normed(norm: Any, projected: torch.Tensor) -> torch.Tensor:
    return projected if norm is None else norm(projected)


def _projected(to_out: Any, attended: torch.Tensor) -> torch.Tensor:
    """`(B, heads, Q, d)` through a layer's own last projection, `(B, Q, C)`."""
    project, dropout = to_out
    return dropout(project(attended.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]
