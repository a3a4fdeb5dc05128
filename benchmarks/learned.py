"""Measures of an edit that need trained networks: CLIP score, DINO structure distance and LPIPS.

Their weights are read from this disk and never downloaded. A measure whose weights are not here is not available, and
`Learned.missing` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from PIL import Image
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from transformers import CLIPModel, CLIPProcessor, ViTModel

from backbones.errors import EditRealError
from backbones.reading import UNREADABLE, reason_of
from benchmarks.measures import to_tensor

CLIP = "openai/clip-vit-large-patch14"
DINO = "facebook/dino-vitb8"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray, str], float]


@dataclass(frozen=True)
class Learned:
    """The measures whose weights are here, and the reasons why the others are not available.

    Attributes:
        measures: Name -> function of the arguments of `measure`.
        missing: Name -> reason.
    """

    measures: Mapping[str, Measure]
    missing: Mapping[str, str]

    def measure(self, image: np.ndarray, reference: np.ndarray, kept: np.ndarray, new_caption: str) -> dict[str, float]:
        """The figures of one edit, those that are available.

        Args:
            image: The edit, `(H, W, 3)` uint8.
            reference: The photo, the same.
            kept: `(H, W)` bool, the pixels that should stay.
            new_caption: What the edit should show.

        Returns:
            Some or all of

            - `clip_score` and `clip_score_edited`: `clip_score` of the edit, and of the edit with the kept pixels
              black, as PIE-Bench has it; in [0, 100]. The latter is NaN where every pixel is kept.
            - `structure_distance` and `structure_distance_of_pie_bench`: `structure_distance` of pixels in [0, 1],
              and in [0, 255], on which PIE-Bench's published figures rest.
            - `lpips`: LPIPS with SqueezeNet (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a
              Perceptual Metric", CVPR 2018) of both images, black where nothing need be kept, as PIE-Bench has it;
              0 is alike. NaN where no pixel is kept.
        """
        return {name: compute(image, reference, kept, new_caption) for name, compute in self.measures.items()}


def load_learned(device: str | torch.device = "cpu", *, clip: str | Path = CLIP, dino: str | Path = DINO) -> Learned:
    """Load every measure whose weights are on this disk; nothing is downloaded.

    Args:
        device: Where the networks run, in float32.
        clip: A `CLIPModel` with its tokenizer and image processor: a folder, or an id in the Hugging Face cache.
        dino: A `ViTModel`: the same.

    Example:
        >>> learned = load_learned(clip="no/such-model")
        >>> "clip_score" in learned.missing
        True
    """
    loaders: dict[tuple[str, ...], Callable[[], tuple[Measure, ...]]] = {
        ("clip_score", "clip_score_edited"): lambda: _load_clip(clip, device),
        ("structure_distance", "structure_distance_of_pie_bench"): lambda: _load_dino(dino, device),
        ("lpips",): lambda: _load_lpips(device),
    }
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    for names, load in loaders.items():
        try:
            measures.update(zip(names, load(), strict=True))
        except EditRealError as error:
            missing.update(dict.fromkeys(names, str(error)))
    return Learned(measures, missing)


@torch.inference_mode()
def clip_score(model: CLIPModel, processor: CLIPProcessor, image: np.ndarray, caption: str) -> float:
    """How well a caption describes an image: 100 max(cos, 0) of their CLIP embeddings.

    The scale is 100 instead of the 2.5 of Hessel et al., "CLIPScore", EMNLP 2021, as PIE-Bench has it. A caption longer
    than the model reads is cut.

    Args:
        model: The network.
        processor: Its tokenizer and image processor.
        image: `(H, W, 3)` uint8.
        caption: What the image should show.
    """
    max_length = model.config.text_config.max_position_embeddings
    tokens = processor.tokenizer([caption], truncation=True, max_length=max_length, return_tensors="pt")
    pixels = processor.image_processor([Image.fromarray(image)], return_tensors="pt")
    embeds = model(**tokens.to(model.device), **pixels.to(model.device))
    return 100 * max(float(F.cosine_similarity(embeds.image_embeds, embeds.text_embeds)), 0.0)


def structure_distance(vit: ViTModel, image: np.ndarray, reference: np.ndarray, *, white: float = 1.0) -> float:
    """How differently the parts of two images resemble one another, whatever they look like; 0 is the same structure.

    It is the mean squared difference of the cosine self-similarities of the keys of DINO's last layer (Tumanyan et al.,
    "Splicing ViT Features for Semantic Appearance Transfer", CVPR 2022, section 3.2), all tokens and heads together.
    Images are brought to the size that the network was trained at, not keeping their aspect, by antialiased bilinear
    resizing.

    Args:
        vit: The network.
        image: `(H, W, 3)` uint8.
        reference: The same, of any size.
        white: The value of a white pixel before ImageNet's normalisation. PIE-Bench's published evaluation leaves it
            at 255, so its figures can be compared with none that are computed at 1.
    """
    similarity, expected = (_self_similarity(vit, white * to_tensor(picture)) for picture in (image, reference))
    return float(F.mse_loss(similarity, expected))


@torch.inference_mode()
def _self_similarity(vit: ViTModel, pixels: torch.Tensor) -> torch.Tensor:
    """Cosine similarities between the last layer's keys, `(1, tokens, tokens)`, of pixels `(1, 3, H, W)`."""
    size = (vit.config.image_size, vit.config.image_size)
    resized = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    projections = [module for name, module in vit.named_modules() if name.endswith((".key", ".k_proj"))]
    keys: list[torch.Tensor] = []
    hook = projections[-1].register_forward_hook(lambda module, inputs, output: keys.append(output))
    try:
        vit(((resized - mean) / std).to(vit.device))
    finally:
        hook.remove()
    directions = F.normalize(keys[0], dim=-1)
    return directions @ directions.mT


def _load_clip(name: str | Path, device: str | torch.device) -> tuple[Measure, ...]:
    folder = _find(name)
    model, processor = _load_network(CLIPModel, folder, device), _read(CLIPProcessor, folder)
    expected, got = model.config.text_config.vocab_size, len(processor.tokenizer)
    if got != expected:  # without its files, transformers makes an empty tokenizer
        raise EditRealError(f"expected a tokenizer of {expected} tokens at {folder}, got one of {got}")

    def whole(image: np.ndarray, reference: np.ndarray, kept: np.ndarray, new_caption: str) -> float:
        return clip_score(model, processor, image, new_caption)

    def edited(image: np.ndarray, reference: np.ndarray, kept: np.ndarray, new_caption: str) -> float:
        if kept.all():
            return float("nan")
        return clip_score(model, processor, image * ~kept[..., None], new_caption)

    return whole, edited


def _load_dino(name: str | Path, device: str | torch.device) -> tuple[Measure, ...]:
    vit = _load_network(ViTModel, _find(name), device, add_pooling_layer=False)

    def at(white: float) -> Measure:
        return lambda image, reference, kept, new_caption: structure_distance(vit, image, reference, white=white)

    return at(1.0), at(255.0)


def _load_lpips(device: str | torch.device) -> tuple[Measure, ...]:
    try:
        from torchvision.models import SqueezeNet1_1_Weights
    except (ImportError, RuntimeError) as error:  # RuntimeError: it was built for another torch
        raise EditRealError("LPIPS needs torchvision, of the release that fits torch; got none") from error
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(SqueezeNet1_1_Weights.DEFAULT.url).path).name)
    if not file.is_file():
        raise EditRealError(f"LPIPS needs torchvision's weights of SqueezeNet, got no file {file}")
    network = LearnedPerceptualImagePatchSimilarity("squeeze", normalize=True).to(device)

    @torch.inference_mode()
    def lpips(image: np.ndarray, reference: np.ndarray, kept: np.ndarray, new_caption: str) -> float:
        if not kept.any():
            return float("nan")
        return float(network(*(to_tensor(picture * kept[..., None]).to(device) for picture in (image, reference))))

    return (lpips,)


def _load_network(kind: Any, folder: Path, device: str | torch.device, **options: Any) -> Any:
    """A network of transformers with all its weights, frozen, in float32."""
    network, info = _read(kind, folder, output_loading_info=True, **options)
    absent = sorted(info["missing_keys"])
    if absent:  # transformers leaves them random
        raise EditRealError(f"expected all weights of a {kind.__name__} at {folder}, got none for {absent[0]}")
    return network.requires_grad_(False).eval().to(device, torch.float32)


def _read(kind: Any, folder: Path, **options: Any) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except UNREADABLE as error:
        raise EditRealError(f"expected a readable {kind.__name__} at {folder}, got: {reason_of(error)}") from error


def _find(name: str | Path) -> Path:
    """The folder of that name, or where the Hugging Face cache has the model of that name."""
    folder = Path(name).expanduser()
    try:
        return folder if folder.is_dir() else Path(snapshot_download(str(name), local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise EditRealError(
            f"{name} is neither a folder here nor in the Hugging Face cache, and nothing is downloaded by itself; "
            f"`hf download {name}` fetches it"
        ) from error
