"""Small models of the real classes, with random weights, and the bundled model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from hypothesis import settings
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from backbones.backbone import Backbone
from backbones.loading import load_backbone
from editing.editor import Editor
from editing.witness import LEVELS

WHOLE_WORDS = ("a", "photo", "of", "red", "rose", "cat", "dog", "with", "hat", "green", "on", "table")
MAX_LENGTH = 24


def pytest_configure() -> None:
    """Shares the cores out among the workers that `-n` started, each would take them all; times no example."""
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """`WHOLE_WORDS` are one token each; every other word falls into letters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in WHOLE_WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
    merges = list(dict.fromkeys(merges))
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *dict.fromkeys("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": MAX_LENGTH}))
    return CLIPTokenizer.from_pretrained(folder)


def write_pipeline(folder: Path, prediction_type: str) -> Path:
    """A diffusers folder of a tiny Stable Diffusion with random weights: 32x32 photos, 16x16 latents."""
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "draft_tokenizer")
    StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            sample_size=32,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=MAX_LENGTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=4,
        ),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type=prediction_type,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline's folder, of either prediction type."""
    return write_pipeline(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture(scope="session")
def backbone(model_folder: Path) -> Backbone:
    """The tiny model, loaded."""
    return load_backbone(model_folder, device="cpu")


@pytest.fixture(scope="session")
def bundled() -> Backbone:
    """The bundled model."""
    return load_backbone("bundled", device="cpu")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """Some words are one token, the others are spelled."""
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer")


@pytest.fixture
def latents(backbone: Backbone) -> torch.Tensor:
    """Random latents of the tiny model's size, `(1, 4, 16, 16)`."""
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def editor(backbone: Backbone) -> Editor:
    """An editor over the tiny model."""
    return Editor(backbone)


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is not asked whether an edit came out, so that the rows that are counted are the edit's."""
    monkeypatch.setattr("editing.signs.noise_errors", lambda *_, **__: torch.ones(len(LEVELS), 2))
