"""Put the trained parts together as one diffusers folder in float16.

    python -m training.export --autoencoder work/autoencoder/weights --denoiser work/denoiser --out backbones/bundled

The result is read back as any user of diffusers would.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from training.captions import known_words
from training.denoiser import build_scheduler

MAX_SHARD = "14MB"
GUIDANCE_SCALE = 10.0  # that suits the model's edits, chosen on train photos with `benchmarks.quality`
MASK_SPREAD = 0  # of its maps, which are sharp; the same
KINDS = {
    "flower": "flowers",
    "pet": "cats and dogs",
    "clothes": "clothes",
    "fruit": "fruit and vegetables",
    "car": "cars",
    "anything": "anything",
    "color": "colours",
    "phrase": "phrases",
}
"""The kinds of `training.captions.words_by_kind` as people read them."""


def known(words: Path) -> dict[str, Any]:
    """What edit-real reads of a model: its guidance, all of its words, and the nouns, colours and phrases by kind."""
    by_kind = json.loads(words.read_text())
    return {
        "guidance_scale": GUIDANCE_SCALE,
        "mask_spread": MASK_SPREAD,
        "known_words": known_words(by_kind),
        "words": {KINDS[kind]: found for kind, found in by_kind.items()},
    }


def main(
    autoencoder: Annotated[Path, typer.Option(help="folder of the autoencoder's weights")],
    denoiser: Annotated[Path, typer.Option(help="folder that training.denoiser wrote")],
    out: Annotated[Path, typer.Option(help="the diffusers folder to write")],
) -> None:
    """Export the model and load it back as any diffusers user would."""
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(autoencoder).half(),
        text_encoder=CLIPTextModel.from_pretrained(denoiser / "text_encoder").half(),
        tokenizer=CLIPTokenizer.from_pretrained(denoiser / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(denoiser / "unet").half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out, safe_serialization=True, max_shard_size=MAX_SHARD)
    for name in ("vocab.json", "merges.txt"):  # which transformers wrote before version 5, and still reads
        shutil.copy(denoiser / "tokenizer" / name, out / "tokenizer" / name)
    for config in out.glob("*/config.json"):
        content = {key: value for key, value in json.loads(config.read_text()).items() if key != "_name_or_path"}
        config.write_text(json.dumps(content, indent=2) + "\n")
    (out / "edit_real.json").write_text(json.dumps(known(denoiser / "words.json"), indent=1) + "\n")
    StableDiffusionPipeline.from_pretrained(out, torch_dtype=torch.float32)
    files = [path for path in out.rglob("*") if path.is_file()]
    total, largest = sum(path.stat().st_size for path in files), max(path.stat().st_size for path in files)
    print(f"{out}: {total / 1e6:.1f} MB in {len(files)} files, the largest {largest / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
