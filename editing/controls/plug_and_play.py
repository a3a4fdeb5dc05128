"""Plug-and-play: the edit takes its layout from the source's features, and everything else from its own caption."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch

from backbones.attention import Control, Site, attention
from backbones.errors import EditRealError
from editing.rows import Rows, of_source
from editing.window import steps_in

if TYPE_CHECKING:
    from editing.plan import EditPlan

FEATURES_UNTIL = 0.8  # tau_f and tau_A: 40 and 25 of 50 steps (Tumanyan et al., CVPR 2023)
ATTENTION_UNTIL = 0.5
LAYER_SHARE = 0.25  # of the latents' side: there is the decoder's layer 4, the second of its grid,
LEAST_LAYER_SIDE = 8  # and not below this side, since a model of small latents has few cells there
LAYER_OF_GRID = 1
SELF = ("self", "joint")  # sites at which pixels attend to pixels


class PlugAndPlay(Control):
    """Both guidance rows of a target get the source's features of one layer, and its self-attention from there on.

    Features are what the residual block's branch gives before its input is added: `f_target = f_source`. Attention
    keeps the target's values: `softmax(q_source k_source) v_target` (Tumanyan et al., CVPR 2023). Colours
    and textures are then the new caption's, where mutual self-attention would look them up in the photo.

    The published negative prompt is a matter of guidance, not of a control: see `negative.negative_shares`.
    """

    def __init__(self, edits: int, sampled: range, sites: Sequence[Site]) -> None:
        self._rows = Rows(edits)
        self._features, self._attention = layers_of(sites)
        self._feature_steps = steps_in(FEATURES_UNTIL, sampled).tolist()
        self._attention_steps = steps_in(ATTENTION_UNTIL, sampled).tolist()

    def sites(self, step: int) -> Collection[Site]:
        features = self._features if self._feature_steps[step] else []
        return [*features, *(self._attention if self._attention_steps[step] else [])]

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        return hidden[self._rows.source].expand_as(hidden)

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        source = self._rows.source
        return attention(query[source].expand_as(query), of_source(site, key, source), value)


def layers_of(sites: Sequence[Site]) -> tuple[list[Site], list[Site]]:
    """The decoder's residual block whose features are taken, and the layers of self-attention from there on.

    In Stable Diffusion these are the decoder's layer 4 and its layers 4 to 11. In other models they are found by their
    grids: the one whose side is nearest to a quarter of the latents' (or to 8, where that is less), its second block
    (or its only one), and all self-attention of this grid and of finer ones but what comes before that block.
    """
    decoder = [site for site in sites if site.part == "decoder"]
    residual = [site for site in decoder if site.kind == "residual"]
    if not residual:
        return [], [site for site in decoder if site.kind in SELF]

    def distance(site: Site) -> float:
        return abs(site.side - max(LEAST_LAYER_SIDE, LAYER_SHARE * site.side / site.share))

    share = min(residual, key=distance).share
    of_grid = [site for site in residual if site.share == share]
    layer = min(LAYER_OF_GRID, len(of_grid) - 1)
    beside = [site for site in decoder if site.kind in SELF and site.share == share]
    blocks = list(dict.fromkeys(_block(site) for site in beside))
    from_there_on = [site for site in beside if _block(site) in blocks[layer:]]
    finer = [site for site in decoder if site.kind in SELF and site.share > share]
    return [of_grid[layer]], [*from_there_on, *finer]


def _block(site: Site) -> str:
    """The block that a layer of attention is in, which may hold several."""
    return site.name.partition(".transformer_blocks.")[0]


def plug_and_play(plans: Sequence[EditPlan], sites: Sequence[Site], device: torch.device) -> PlugAndPlay:
    """The layout is the photo's, by features and self-attention; colours and textures are the new caption's.

    Raises:
        EditRealError: A word's weight is asked for, which has no place in features and self-attention, or the model
            has no residual blocks.
    """
    if sites and not any(site.kind == "residual" for site in sites):
        raise EditRealError(
            "expected a model with residual blocks for control='plug_and_play', which takes their features, got one of "
            "transformer blocks alone; use 'replace', 'refine' or 'mutual'"
        )
    if any(plan.settings.reweight for plan in plans):
        raise EditRealError(
            "expected no reweight with control='plug_and_play', which leaves words alone; use 'replace'"
        )
    return PlugAndPlay(len(plans), plans[0].sampled, sites)
