"""The learned measures are what their papers define, and weights that are not here are reported, never downloaded."""

from __future__ import annotations

import math
import shutil
import socket
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics.pairwise import cosine_similarity
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    ViTConfig,
    ViTModel,
)

from benchmarks.learned import load_learned

NOWHERE = "no-such-owner/no-such-model"
LPIPS_FILE = "squeezenet1_1-b8a52dc0.pth"


def picture(seed: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def left_half() -> np.ndarray:
    kept = np.zeros((32, 32), bool)
    kept[:, :16] = True
    return kept


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights of torch's hub, and nothing but the code under test that keeps it from the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def clip(tmp_path: Path, tokenizer: CLIPTokenizer) -> Path:
    """The folder of a tiny CLIP with random weights."""
    torch.manual_seed(0)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {"image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=layers | text, vision_config=layers | vision, projection_dim=8)).save_pretrained(
        tmp_path / "clip"
    )
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def dino(tmp_path: Path) -> Path:
    """The folder of a tiny vision transformer with random weights, of 32x32 pixels."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        initializer_range=0.3,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "dino")
    return tmp_path / "dino"


@torch.no_grad()
def cosine(folder: Path, image: np.ndarray, caption: str) -> float:
    """The cosine of both embeddings, from the networks' towers and projections."""
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    tokens = processor.tokenizer([caption], return_tensors="pt")
    pixels = processor.image_processor([Image.fromarray(image)], return_tensors="pt")
    text = model.text_projection(model.text_model(**tokens).pooler_output)
    seen = model.visual_projection(model.vision_model(**pixels).pooler_output)
    return float(cosine_similarity(text.numpy(), seen.numpy()).item())


def negate_images(folder: Path) -> None:
    model = CLIPModel.from_pretrained(folder)
    model.visual_projection.weight.data.neg_()
    model.save_pretrained(folder)


def test_clip_score_is_the_cosine_of_image_and_new_caption(clip: Path) -> None:
    image, caption = picture(0), "a photo of a red rose"
    black = np.where(left_half()[..., None], 0, image).astype(np.uint8)
    expected = np.array([cosine(clip, image, caption), cosine(clip, black, caption)])
    assert abs(expected[0] - expected[1]) > 1e-3
    found = []
    for _ in range(2):
        figures = load_learned(clip=clip, dino=NOWHERE).measure(image, picture(1), left_half(), caption)
        assert figures.keys() == {"clip_score", "clip_score_edited"}
        found.append([figures["clip_score"], figures["clip_score_edited"]])
        negate_images(clip)
    # Once as it is and once with every image's embedding turned round: what is negative counts as 0.
    np.testing.assert_allclose(found[0], 100 * np.maximum(expected, 0), atol=1e-3)
    np.testing.assert_allclose(found[1], 100 * np.maximum(-expected, 0), atol=1e-3)
    assert np.max(found) > 0


def test_a_long_caption_is_cut_where_the_model_stops_reading(clip: Path) -> None:
    if cosine(clip, picture(0), "cat " * 22) < 0:
        negate_images(clip)
    learned = load_learned(clip=clip, dino=NOWHERE)

    def score(caption: str) -> float:
        return learned.measure(picture(0), picture(0), left_half(), caption)["clip_score"]

    assert score("cat " * 60) == pytest.approx(score("cat " * 22 + "rose " * 38))
    assert score("cat " * 60) > 0
    assert score("cat " * 60) != pytest.approx(score("cat " * 21 + "rose " * 39))


def test_without_an_edited_part_its_clip_score_is_nan(clip: Path) -> None:
    figures = load_learned(clip=clip, dino=NOWHERE).measure(picture(0), picture(0), np.ones((32, 32), bool), "a cat")
    assert math.isnan(figures["clip_score_edited"])
    assert figures["clip_score"] >= 0


@torch.no_grad()
def self_similarity(folder: Path, image: np.ndarray, white: float) -> np.ndarray:
    """By hand: the last layer's input, its norm, its key weights as saved, and scikit-learn's cosines."""
    channels = [np.float32(image[..., c]) / np.float32(255) * white for c in range(3)]
    resized = [np.asarray(Image.fromarray(c).resize((32, 32), Image.Resampling.BILINEAR)) for c in channels]
    normal = [(c - m) / s for c, m, s in zip(resized, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    vit = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    hidden = vit(torch.tensor(np.stack(normal))[None].float(), output_hidden_states=True).hidden_states[-2]
    saved = load_file(folder / "model.safetensors")

    def of_last_layer(name: str) -> torch.Tensor:
        return saved[f"encoder.layer.1.{name}"]

    norm = [of_last_layer(f"layernorm_before.{part}") for part in ("weight", "bias")]
    inputs = torch.nn.functional.layer_norm(hidden, (16,), *norm, eps=vit.config.layer_norm_eps)
    key = [of_last_layer(f"attention.attention.key.{part}") for part in ("weight", "bias")]
    keys = torch.nn.functional.linear(inputs, *key)[0].numpy()
    assert keys.shape == (1 + 4 * 4, 16)
    return cosine_similarity(keys)


@pytest.mark.parametrize("size", [(32, 32), (20, 20), (80, 80), (40, 60)])
def test_structure_distance_compares_the_keys_of_the_last_layer(dino: Path, size: tuple[int, int]) -> None:
    image, reference = picture(0, *size), picture(1, *size)
    figures = load_learned(clip=NOWHERE, dino=dino).measure(image, reference, np.ones(size, bool), "")
    assert figures.keys() == {"structure_distance", "structure_distance_of_pie_bench"}
    for name, white in (("structure_distance", 1), ("structure_distance_of_pie_bench", 255)):
        expected = np.square(self_similarity(dino, image, white) - self_similarity(dino, reference, white)).mean()
        assert expected > 1e-5
        assert figures[name] == pytest.approx(expected, rel=1e-3)


def test_an_image_has_its_own_structure(dino: Path) -> None:
    figures = load_learned(clip=NOWHERE, dino=dino).measure(picture(0), picture(0), left_half(), "")
    assert set(figures.values()) == {0.0}


def test_what_is_not_here_is_reported_and_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(host: object, *args: object, **kwargs: object) -> None:
        asked.append(host)
        raise OSError(f"asked for {host}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    learned = load_learned(clip=NOWHERE, dino=NOWHERE)
    assert not asked
    assert learned.measure(picture(0), picture(1), left_half(), "a cat") == {}
    assert learned.missing.keys() == {
        "clip_score",
        "clip_score_edited",
        "structure_distance",
        "structure_distance_of_pie_bench",
        "lpips",
    }
    assert all(NOWHERE in reason for name, reason in learned.missing.items() if name != "lpips")
    assert "\n" not in "".join(learned.missing.values())


def test_a_path_that_is_no_folder_is_reported(tmp_path: Path) -> None:
    assert "no_clip" in load_learned(clip=tmp_path / "no_clip", dino=NOWHERE).missing["clip_score"]
    (tmp_path / "empty").mkdir()
    assert "empty" in load_learned(clip=NOWHERE, dino=tmp_path / "empty").missing["structure_distance"]


def test_a_model_in_the_cache_is_found_by_its_id(dino: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "hub" / "models--someone--tiny-vit"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(dino, cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert "structure_distance" in load_learned(clip=NOWHERE, dino="someone/tiny-vit").measures


def test_networks_that_lack_weights_or_words_are_not_used(clip: Path, dino: Path) -> None:
    learned = load_learned(clip=dino, dino=clip)  # transformers reads them, and leaves all weights random
    assert not learned.measures
    assert "weights" in learned.missing["clip_score"] and "weights" in learned.missing["structure_distance"]
    for file in clip.iterdir():
        if file.name.startswith(("tokenizer", "vocab", "merges")):
            file.unlink()
    assert "clip_score" in load_learned(clip=clip, dino=NOWHERE).missing


def test_lpips_needs_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert "torchvision" in load_learned(clip=NOWHERE, dino=NOWHERE).missing["lpips"]


def test_lpips_compares_what_is_kept(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    from torchmetrics.functional.image.lpips import learned_perceptual_image_patch_similarity

    assert LPIPS_FILE in load_learned(clip=NOWHERE, dino=NOWHERE).missing["lpips"]
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1().state_dict(), folder / LPIPS_FILE)
    learned = load_learned(clip=NOWHERE, dino=NOWHERE)
    kept = np.kron(left_half(), np.ones((2, 2), bool))
    image, reference = picture(0, 64, 64), picture(1, 64, 64)
    black = [np.where(kept[..., None], values / 127.5 - 1, -1) for values in (image, reference)]
    tensors = [torch.tensor(values).permute(2, 0, 1)[None].float() for values in black]
    expected = float(learned_perceptual_image_patch_similarity(*tensors, net_type="squeeze"))
    for _ in range(2):
        assert learned.measure(image, reference, kept, "") == {"lpips": pytest.approx(expected, rel=1e-4)}
    assert expected > 1e-3
    assert math.isnan(learned.measure(image, reference, ~np.ones_like(kept), "")["lpips"])
