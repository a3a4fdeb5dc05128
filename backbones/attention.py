"""Where a denoiser attends, and a context manager under which a control decides what happens there.

A control never touches the model. It says at which sites it wants a part in a step, and computes there what the layer
would have computed: the attended values from queries, keys and values, or a residual branch's output. All other layers
keep their own, fused attention.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
import torch.nn.functional as F

from backbones.processors import processor_for

if TYPE_CHECKING:
    from backbones.backbone import Backbone

PROBS_AT_ONCE = 2**26  # probabilities that are stored at once where only their mean is wanted, a quarter of a GiB


@dataclass(frozen=True)
class Site:
    """A layer of a denoiser that a control can take part in, for latents of one size.

    Attributes:
        name: The layer's module path, such as `up_blocks.2.attentions.0.transformer_blocks.0.attn2`.
        kind: `cross` (pixels attend to the caption's tokens), `self` (pixels to pixels), `joint` (pixels to both, in
            one softmax) or `residual` (a residual block, whose branch is added to its input).
        part: Where in the denoiser: its `encoder`, `middle` or `decoder`.
        order: How many sites of this kind the latents pass before it.
        height: Rows of the layer's grid; of attention, the queries are `height * width`, row by row.
        width: Columns of it.
        share: The grid's side as a share of the latents' side, 1 at the finest layers.
    """

    name: str
    kind: Literal["cross", "self", "joint", "residual"]
    part: Literal["encoder", "middle", "decoder"]
    order: int
    height: int
    width: int
    share: float

    @property
    def side(self) -> float:
        """Side of the square that has as many cells."""
        return float(self.cells**0.5)

    @property
    def cells(self) -> int:
        """How many there are in the grid; at attention as many queries, and as many keys behind those of the text."""
        return self.height * self.width


class Control(Protocol):
    """Takes part in a denoiser's layers, step by step. `B` are the rows of the batch.

    A control that subclasses this needs to write only what it wants to change.
    """

    def sites(self, step: int) -> Collection[Site]:
        """Where it takes part at this step."""
        ...

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        """The values that the queries gather, `(B, heads, Q, d)`, at a site of attention that it asked for.

        Args:
            site: Which.
            query: `(B, heads, Q, d)`, of the pixels.
            key: `(B, heads, K, d)`; at a `joint` site of the text's tokens, then of the pixels.
            value: `(B, heads, K, d)`, in the same order.
            step: Of the schedule.
        """
        return attention(query, key, value)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        """The output `(B, C, h, w)` of a residual block's branch, before the block's input is added to it."""
        return hidden


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Softmax attention without its probabilities ever being stored, `(B, heads, Q, d)`."""
    return F.scaled_dot_product_attention(query, key, value)


def attention_probs(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The probabilities of softmax attention, `(B, heads, Q, K)` float32, rows that sum to 1."""
    # The query is scaled before the product, which float16 would overflow in some models.
    return ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).float().softmax(dim=-1)


def mean_probs(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The mean of `attention_probs` over the heads, `(B, Q, K)`, worked out in parts so that little is stored."""
    each = query.shape[1] * key.shape[2]  # probabilities of one pixel
    rows, queries = max(1, PROBS_AT_ONCE // (each * query.shape[2])), max(1, PROBS_AT_ONCE // each)
    return torch.cat(
        [
            torch.cat([attention_probs(part, keys).mean(1) for part in some.split(queries, dim=2)], dim=1)
            for some, keys in zip(query.split(rows), key.split(rows), strict=True)
        ]
    )


def pixels_share(query: torch.Tensor, key: torch.Tensor, cells: int) -> torch.Tensor:
    """How much of each pixel's attention goes to pixels, `(B, heads, Q, 1)`, where the first keys are the text's.

    It is fused attention whose values are 1 at the pixels and 0 at the words, so that no probabilities are stored.
    """
    is_pixel = torch.zeros(*key.shape[:-1], 8, dtype=key.dtype, device=key.device)  # as wide as fused kernels want it
    is_pixel[..., -cells:, :] = 1
    return attention(query, key, is_pixel)[..., :1]


def gather(probs: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The values under probabilities `(B, heads, Q, K)`, in the values' number format: `(B, heads, Q, d)`."""
    return probs.to(value.dtype) @ value


@contextmanager
def controlled(backbone: Backbone, control: Control, step: int) -> Iterator[None]:
    """Puts `control` on the sites that it asks for at `step`; the model is this caller's alone meanwhile.

    What was found is put back on leaving, whatever happens inside. A loop enters once a step: there is nothing to count
    and nothing to reset. Other threads that use the model wait.

    Raises:
        ValueError: The control asks for a layer that the model does not have.
    """
    with backbone.lock, ExitStack() as put_back:
        for site in control.sites(step):
            try:
                module = backbone.denoiser.get_submodule(site.name)
            except AttributeError as error:
                raise ValueError(f"expected a layer of this model, got the site of another: {site.name}") from error
            put_back.callback(_take_over(module, site, control, step))
        yield


def _take_over(module: Any, site: Site, control: Control, step: int) -> Callable[[], None]:
    """Hands one layer to the control, and returns what undoes it."""
    if site.kind == "residual":

        def changed(conv: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            return control.features(site, output, step)

        handle: Callable[[], None] = module.conv2.register_forward_hook(changed).remove
        return handle
    found = module.processor
    module.set_processor(processor_for(module, site, control, step))
    return lambda: module.set_processor(found)
