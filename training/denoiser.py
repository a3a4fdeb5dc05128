"""Train the UNet and the text encoder together on the latents.

    python -m training.denoiser --latents work/latents.safetensors --folder work/denoiser --minutes 80

Given again, the command goes on from its checkpoint, with the latents that it is given then.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors import safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import Caption, random_caption, words_by_kind
from training.carry_over import carry_over, carry_over_words
from training.grounding import SHARE, cross_attention_maps, grounding_loss
from training.muon import Muon, matrices_and_others
from training.run import (
    Run,
    autocast,
    average_gradients,
    average_of,
    first_alone,
    join_processes,
    norms_in_float32,
    pick_device,
)
from training.tokenizer import MAX_LENGTH, build_tokenizer
from workshop.command import run_command

EMPTY_CAPTIONS = 0.12  # share of samples that teach the unconditional prediction (Ho and Salimans 2022)
MIN_SNR = 5.0  # Hang et al., ICCV 2023
GROUNDING = 0.3
FRESH_STEPS = 100  # in which weights that come from another version rest
SAMPLING = {"clothes": 0.34, "flower": 0.24, "pet": 0.22, "fruit": 0.14, "car": 0.06}


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's schedule, as its configuration files give it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def build_unet(latent_size: int, latent_channels: int) -> UNet2DConditionModel:
    """Three levels; cross-attention at the two finer ones and in the middle."""
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(96, 160, 256),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


@dataclass(frozen=True)
class Captions:
    """A batch of captions: token ids and, for the grounding, what each token should take; all `(B, K)`."""

    input_ids: torch.Tensor
    inside: torch.Tensor
    outside: torch.Tensor
    counted: torch.Tensor

    @classmethod
    def of(cls, captions: list[tuple[Caption, bool]], tokenizer: CLIPTokenizer) -> Captions:
        """`captions` come with whether the object's mask is known. Padding counts always, words only with a mask."""
        shape = (len(captions), MAX_LENGTH)
        input_ids = np.full(shape, tokenizer.eos_token_id)
        inside, outside, counted = (np.zeros(shape, np.float32) for _ in range(3))
        for row, (caption, has_object) in enumerate(captions):
            position, input_ids[row, 0] = 1, tokenizer.bos_token_id
            tokens = [(tokens_of(tokenizer, word), role) for word, role in caption]
            numbers = {role: sum(len(ids) for ids, other in tokens if other == role) for role in SHARE}
            for ids, role in tokens:
                span = slice(position, position + len(ids))
                input_ids[row, span] = ids
                if has_object and role in SHARE:
                    (outside if role == "background" else inside)[row, span] = SHARE[role] / numbers[role]
                counted[row, span] = float(has_object)
                position += len(ids)
            if caption:
                counted[row, position:] = 1.0
        return cls(*(torch.from_numpy(part) for part in (input_ids, inside, outside, counted)))


@lru_cache
def tokens_of(tokenizer: CLIPTokenizer, word: str) -> tuple[int, ...]:
    return tuple(tokenizer(word, add_special_tokens=False)["input_ids"])


class LatentPhotos:
    """The latents of one split with their masks and rows, drawn at random by kind of photo."""

    def __init__(self, paths: Sequence[Path], split: str) -> None:
        latents, masks, self.rows = [], [], []
        for path in paths:
            with safe_open(path, "np") as file:
                if split not in file.metadata():
                    continue
                latents.append(torch.from_numpy(file.get_tensor(f"{split}.latents")))
                masks.append(torch.from_numpy(file.get_tensor(f"{split}.masks")))
                told = json.loads(file.metadata()[split])
            self.rows += [{**told["rows"][view["row"]], **view} for view in told["views"]]
        self.latents, self.masks = torch.cat(latents), torch.cat(masks)
        kinds = np.array([row["kind"] for row in self.rows])
        self.by_kind = {kind: np.flatnonzero(kinds == kind) for kind in SAMPLING if (kinds == kind).any()}

    def draw(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Indices of views, the kinds in the proportions of `SAMPLING`."""
        weights = np.array([SAMPLING[kind] for kind in self.by_kind])
        kinds = rng.choice(len(weights), number, p=weights / weights.sum())
        pools = list(self.by_kind.values())
        return np.array([rng.choice(pools[kind]) for kind in kinds])

    def caption(self, index: int, rng: np.random.Generator) -> tuple[Caption, bool]:
        row = self.rows[index]
        return random_caption(row, rng), bool(row["has_object"])


def denoising_loss(
    unet: nn.Module,
    text_encoder: CLIPTextModel,
    scheduler: DDIMScheduler,
    latents: torch.Tensor,
    masks: torch.Tensor,
    captions: Captions,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted noise error and the grounding penalty of a batch; `generator` draws noise and timesteps."""
    device = latents.device
    noise = torch.randn(latents.shape, generator=generator).to(device)
    timestep = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=generator).to(device)
    noisy = scheduler.add_noise(latents, noise, timestep)
    alpha_prod_t = scheduler.alphas_cumprod.to(device)[timestep]
    snr = alpha_prod_t / (1 - alpha_prod_t)
    with autocast(device), cross_attention_maps(unet) as maps:
        prompt_embeds = text_encoder(captions.input_ids.to(device)).last_hidden_state
        noise_pred = unet(noisy, timestep, prompt_embeds).sample
    errors = F.mse_loss(noise_pred.float(), noise, reduction="none").mean((1, 2, 3))
    tokens = (part.to(device) for part in (captions.inside, captions.outside, captions.counted))
    return (errors * snr.clamp(max=MIN_SNR) / snr).mean(), grounding_loss(maps, masks, *tokens)


@torch.no_grad()
def test_losses(
    models: nn.ModuleDict, photos: LatentPhotos, tokenizer: CLIPTokenizer, scheduler: DDIMScheduler
) -> dict[str, float]:
    """The noise error on a fixed set of test photos, captions, noises and timesteps, by kind and over all kinds."""
    rng, generator, losses = np.random.default_rng(1), torch.Generator().manual_seed(1), {}
    for kind, pool in photos.by_kind.items():
        batch = batch_of(photos, rng.choice(pool, 96), tokenizer, rng, models["unet"].device, empty=0.0)
        loss, _ = denoising_loss(models["unet"], models["text_encoder"], scheduler, *batch, generator)
        losses[kind] = round(float(loss), 4)
    return {**losses, "mean": round(sum(losses.values()) / len(losses), 4)}


def batch_of(
    photos: LatentPhotos,
    indices: np.ndarray,
    tokenizer: CLIPTokenizer,
    rng: np.random.Generator,
    device: torch.device,
    empty: float,
) -> tuple[torch.Tensor, torch.Tensor, Captions]:
    """Latents `(B, C, h, w)`, object shares `(B, 1, h, w)` and random captions of those views, on `device`."""
    captions = [([], False) if rng.random() < empty else photos.caption(index, rng) for index in indices]
    latents = photos.latents[indices].float().to(device, memory_format=torch.channels_last)
    return latents, photos.masks[indices].float()[:, None].to(device) / 255, Captions.of(captions, tokenizer)


def start(
    photos: LatentPhotos, folder: Path, start_from: Path | None, device: torch.device
) -> tuple[nn.ModuleDict, CLIPTokenizer, list[nn.Parameter]]:
    """The models and tokenizer of a run, and those of the weights that do not come from `start_from`."""
    if (folder / "tokenizer").exists():
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    else:
        tokenizer = build_tokenizer(photos.rows, folder / "tokenizer")
        (folder / "words.json").write_text(json.dumps(words_by_kind(photos.rows), indent=1))
    channels, _, side = photos.latents.shape[1:]
    unet, text_encoder = build_unet(side, channels), build_text_encoder(tokenizer)
    fresh: list[nn.Parameter] = []
    if start_from:
        names = carry_over(UNet2DConditionModel.from_pretrained(start_from / "unet"), unet)
        fresh = [parameter for name, parameter in unet.named_parameters() if name in names]
        old_tokens = CLIPTokenizer.from_pretrained(start_from / "tokenizer")
        carry_over_words(
            CLIPTextModel.from_pretrained(start_from / "text_encoder"), old_tokens, text_encoder, tokenizer
        )
    norms_in_float32(unet)
    models = nn.ModuleDict({"unet": unet.to(memory_format=torch.channels_last), "text_encoder": text_encoder})
    return models.to(device), tokenizer, fresh


def main(
    latents: Annotated[list[Path], typer.Option(help="a file that training.latents wrote; again for more")],
    folder: Annotated[Path, typer.Option(help="where checkpoint, log and weights go")],
    minutes: Annotated[float, typer.Option(help="time to train, counting resumed runs")] = 80,
    batch_size: Annotated[int, typer.Option(help="of each process")] = 24,
    learning_rate: float = 6e-4,
    ema_decay: float = 0.999,
    start_from: Annotated[Path | None, typer.Option(help="model of another version to start from")] = None,
) -> None:
    """Train the denoiser and the text encoder."""
    rank, device = join_processes(), pick_device()
    torch.manual_seed(0)
    photos, test_photos = LatentPhotos(latents, "train"), LatentPhotos(latents, "test")
    with first_alone():
        models, tokenizer, fresh = start(photos, folder, start_from, device)
    scheduler, parameters = build_scheduler(), list(models.parameters())
    average = average_of(models, ema_decay)
    matrices, others = matrices_and_others(models)
    muon = Muon(matrices, lr=learning_rate, weight_decay=1e-2)
    adamw = torch.optim.AdamW(others, lr=learning_rate, weight_decay=1e-2, fused=True)
    run = Run(folder, minutes, {"models": models, "average": average, "muon": muon, "adamw": adamw})
    rng = np.random.default_rng((rank, run.steps))
    generator = torch.Generator().manual_seed(run.steps + 1_000_000 * rank)

    def step(progress: float) -> dict[str, float]:
        warmup = min(run.steps / 200, 1.0)
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
        for optimizer in (muon, adamw):
            optimizer.param_groups[0]["lr"] = learning_rate * warmup * falling
        indices = photos.draw(batch_size, rng)
        batch = batch_of(photos, indices, tokenizer, rng, device, empty=EMPTY_CAPTIONS)
        loss, grounding = denoising_loss(models["unet"], models["text_encoder"], scheduler, *batch, generator)
        models.zero_grad()
        (loss + GROUNDING * grounding).backward()
        if fresh and run.steps < FRESH_STEPS:  # what is new finds its place before it disturbs what is not
            for parameter in set(parameters) - set(fresh):
                parameter.grad = None
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in (muon, adamw):
            optimizer.step()
        average.update_parameters(models)
        return {"loss": float(loss.detach()), "grounding": float(grounding.detach())}

    for number in run.loop(batch_size, step):
        if number % 1000 == 0 and run.leads:
            losses = test_losses(average.module, test_photos, tokenizer, scheduler)
            print(f"step {number}: test loss {losses}", flush=True)
            save(average.module, folder)
    if not run.leads:
        return
    save(average.module, folder)
    summary = {
        "test_losses": test_losses(average.module, test_photos, tokenizer, scheduler),
        "steps": run.steps,
        "minutes": run.elapsed / 60,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    print(summary)


def save(models: nn.ModuleDict, folder: Path) -> None:
    """Write the averaged weights beside the checkpoint, as diffusers folders."""
    for name, model in models.items():
        model.save_pretrained(folder / name)


if __name__ == "__main__":
    run_command(main)
