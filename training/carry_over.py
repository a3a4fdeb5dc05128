"""Start a model from the weights of another version, whose latents or tokens differ."""

from __future__ import annotations

import torch
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

TOKENS = "token_embedding.weight"


@torch.no_grad()
def carry_over(source: nn.Module, target: nn.Module) -> list[str]:
    """Copy those of `source`'s weights into `target` that have the same name and shape; the names of those that do not.

    A UNet for other latents keeps all but its first and last convolution.
    """
    olds, news = source.state_dict(), target.state_dict()
    fresh = [name for name, new in news.items() if name not in olds or olds[name].shape != new.shape]
    for name, new in news.items():
        if name not in fresh:
            new.copy_(olds[name])
    return fresh


@torch.no_grad()
def carry_over_words(
    source: CLIPTextModel, tokens: CLIPTokenizer, target: CLIPTextModel, new_tokens: CLIPTokenizer
) -> list[str]:
    """As `carry_over` for text encoders; tokens keep their embedding by what they spell. The names of fresh weights."""
    fresh = carry_over(source, target)
    olds, news = source.get_input_embeddings().weight, target.get_input_embeddings().weight
    numbers = tokens.get_vocab()
    for token, number in new_tokens.get_vocab().items():
        if token in numbers:
            news[number] = olds[numbers[token]]
        else:
            news[number].normal_(std=float(olds.std()))
    return [name for name in fresh if not name.endswith(TOKENS)]
