r"""Write the bundled model's card and the list of its photos from what the other commands left on disk.

    python -m training.card --evaluation work/evaluation/evaluation.json --prepared work/prepared.safetensors \
        --autoencoder-log work/autoencoder/log.jsonl --denoiser-log work/denoiser/log.jsonl \
        --hardware "2 CPU cores" --out backbones/bundled/MODEL_CARD.md

The model's own folder is the card's; `ATTRIBUTION.txt` and `training.json`, the stages of the training, are written
beside the card. A model that started from another's weights also gives that one's `--earlier training.json`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors import safe_open

from training.captions import BREEDS, SPECIES, known_words
from training.colors import FLOWER_COLORS
from training.denoiser import EMPTY_CAPTIONS, GROUNDING, MIN_SNR, SAMPLING
from training.latents import CROPS, SMALLEST_CROP, kind_of
from training.prepare import DYES_PER_PHOTO
from workshop.tables import markdown

PARTS = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}

HEADER = """---
license: cc-by-sa-4.0
library_name: diffusers
pipeline_tag: text-to-image
language: en
tags:
- text-to-image
- image-editing
- stable-diffusion
- diffusers
---

# edit-real's bundled model
"""

USE = """## Intended use and limits

For demonstrations, tests and teaching of text edits on real photos without a download: inverting a photo, changing
words of its caption, looking at attention maps. For edits of photos of anything else, give edit-real a full-size
Stable Diffusion model instead.

- It works at {size}x{size} pixels; detail is soft, and what an edit repaints is as soft as that.
- It knows five flowers ({species}) in six colours ({colors}) and three breeds of cat and dog ({breeds}).
- Any other word reaches it as letters without a meaning: what it then draws is arbitrary.
- It has no word for people, faces, text, scenes or counts, and was not made to show any. The photos were not searched
  for people who may stand in the background of a flower.
- Colour words were guessed from the photos' pixels; about one in ten is wrong.
- It was judged on photos of the same collections that it was trained on, and nothing is known of how it does elsewhere.
"""

DATA = """## Training data

| collection | licence | train photos | test photos |
| --- | --- | --- | --- |
| `flower_photos`, gathered by the TensorFlow team from Flickr | CC BY 2.0 | {flowers_train} | {flowers_test} |
| Oxford-IIIT Pet Dataset, {breed_count} of its 37 breeds | CC BY-SA 4.0 | {pets_train} | {pets_test} |

- The flower photos belong to their photographers, who are named on each photo's Flickr page; `ATTRIBUTION.txt` lists
  the page of every photo that was trained on.
- O. M. Parkhi, A. Vedaldi, A. Zisserman and C. V. Jawahar, "Cats and Dogs", IEEE Conference on Computer Vision and
  Pattern Recognition (CVPR), 2012. Its trimaps say which pixels are the animal's.
- The photos were cropped to squares and made smaller, and {dyed} copies of train flowers were dyed (see below). The
  photos themselves are not part of this folder. Test photos were used for the figures here and for nothing else.

By what the train photos show: {counts}.

## Licence

The weights in this folder are licensed under
[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), the code of edit-real under Apache-2.0.
"""

RECIPE = """## How it was trained

On {hardware}, from random weights, in this order:

{stages}
{start}
- Autoencoder: squared and absolute error, with the error of the gradients at three scales; no adversarial term.
- Latents: computed once, from crops that keep at least {smallest_crop:.0%} of the photo's side, half of them mirrored
  ({crops} crops a photo).
- Denoiser and text encoder: trained together on the noise error, weighted by min-SNR-{min_snr:g} (Hang et al., ICCV
  2023), with an average of the weights kept; {empty:.0%} of the captions are empty, for classifier-free guidance.
  Samples are {sampling}.
- Dyed flowers: where a flower stands out by its colour, its petals also come in up to {dyes} other colours, so that
  rare colours are seen and a colour word comes to mean the petals. The last version's are dyed in CIE Lab, towards
  tones of real flowers, with their shades kept (after Reinhard et al., 2001).
- Grounding: a penalty (weight {grounding:g}) pulls the cross-attention of the object's words and its colour onto the
  object's pixels and everything else off the closing tokens (in the spirit of TokenCompose, Wang et al., CVPR 2024).

To make {what} again, with the sources of edit-real and the photo archives that its `training/README.md` describes:

```sh
{commands}
```
"""

START = """
Each version started from the weights of the one before; channels of the latents that one did not have were added
as `training/carry_over.py` says. A part without a row in a version was kept as it was. The repository's history
holds version {before}, `version-{before}` below.
"""

PREPARE_COMMAND = """python -m training.prepare --photos flower-photos-144.zip --photos pet-photos-144.zip \\
    --out work/prepared.safetensors"""

AUTOENCODER_COMMAND = """python -m training.autoencoder --prepared work/prepared.safetensors \\
    --folder work/autoencoder --minutes {row[minutes]} --learning-rate {row[learning rate]}{start}"""

DENOISER_COMMANDS = """python -m training.latents --prepared work/prepared.safetensors --autoencoder {encoder} \\
    --out work/latents.safetensors
python -m training.denoiser --latents work/latents.safetensors --folder work/denoiser \\
    --minutes {row[minutes]} --learning-rate {row[learning rate]}{start}"""

DECODER_COMMAND = """python -m training.autoencoder --prepared work/prepared.safetensors --folder work/decoder \\
    --minutes {row[minutes]} --decoder-only --start-from {encoder}"""

EXPORT_COMMAND = "python -m training.export --autoencoder {decoder} --denoiser work/denoiser --out backbones/bundled"

AUTOENCODER, DENOISER, DECODER = STAGES = (
    "autoencoder",
    "denoiser and text encoder",
    "decoder alone, on the finished encoder",
)


def parameters(folder: Path) -> int:
    """Number of weights in a folder's safetensors files, read from their headers."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total


def rows_of(prepared: Path) -> list[dict[str, Any]]:
    """The rows of the prepared file, without its images."""
    with safe_open(prepared, "np") as file:
        rows: list[dict[str, Any]] = json.loads(file.metadata()["rows"])
    return rows


def stage(version: int, name: str, log: Path) -> dict[str, Any]:
    """What a run's log says it took, and its summary beside it."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    speed = sum(row["samples_per_s"] for row in rows) / len(rows)
    last = rows[-1]
    return {
        "version": version,
        "stage": name,
        "steps": last["step"],
        "minutes": round(last["minutes"]),
        "samples/s": round(speed),
        "samples": f"{speed * last['minutes'] * 60 / 1000:.0f} thousand",
        "learning rate": f"{json.loads((log.parent / 'summary.json').read_text())['learning_rate']:g}",
        "loss at the end": f"{last['loss']:.3f}",
    }


def introduction(model: Path) -> str:
    """What it is, and its architecture as its configurations give it."""
    unet, vae, text, scheduler = (
        json.loads((model / part / name).read_text())
        for part, name in (*((part, "config.json") for part in PARTS), ("scheduler", "scheduler_config.json"))
    )
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    size = unet["sample_size"] * factor
    about = {
        "unet": f"{_listed(unet['block_out_channels'])} channels, layers a block: {unet['layers_per_block']}",
        "vae": f"{_listed(vae['block_out_channels'])} channels, factor {factor}, {vae['latent_channels']} in latents",
        "text_encoder": f"{text['hidden_size']} channels, layers: {text['num_hidden_layers']}, "
        f"{text['vocab_size']} tokens, captions of up to {text['max_position_embeddings'] - 2} tokens",
    }
    counts = {part: parameters(model / part) for part in PARTS}
    table = [
        {"part": part, "class": name, "parameters": f"{counts[part] / 1e6:.2f} M", "about": about[part]}
        for part, name in PARTS.items()
    ]
    megabytes = sum(path.stat().st_size for path in model.rglob("*.safetensors")) / 1e6
    return f"""A latent diffusion model of {sum(counts.values()) / 1e6:.1f} million parameters ({megabytes:.0f} MB) for
{size}x{size} photos of flowers, cats and dogs. It is made of the classes of Stable Diffusion, in diffusers' layout, so
that every path of edit-real can be tried, tested and shown offline. `StableDiffusionPipeline.from_pretrained` loads it.

## Architecture

{markdown(table)}

Noise: {scheduler["beta_schedule"]} betas from {scheduler["beta_start"]} to {scheduler["beta_end"]}.
The UNet predicts {scheduler["prediction_type"]}.

## Words that it knows

{", ".join(known_words_of(model))}

Captions are made of these, such as "a photo of a red rose", "a close-up of a white daisy with a green background" or "a
photo of a bengal cat".
"""


def known_words_of(model: Path) -> list[str]:
    path = model / "edit_real.json"
    return list(json.loads(path.read_text())["known_words"]) if path.exists() else known_words()


def evaluation_section(figures: dict[str, Any]) -> str:
    """The figures with their goals, what was missed in a sentence, and the tables behind them."""
    missed = [row["measure"] for row in figures["table"] if row["result"] != "met"]
    verdict = f"Goals missed: {'; '.join(missed)}." if missed else "Every goal is met."
    colors, names = figures["colors"], figures["names"]
    by_color = [
        {"": "generated images", **{name: _percent(share) for name, share in colors["generated"]["by_color"].items()}},
        {"": "test photos", **{name: _percent(share) for name, share in colors["photos"]["by_color"].items()}},
    ]
    confusion = [{"asked": noun, **counts} for noun, counts in names["generated"]["confusion"].items()]
    words = [
        {
            "": kind,
            "best threshold": row["threshold"],
            "IoU": row["iou"],
            "IoU at the published threshold": row["iou_as_published"],
            "IoU of the whole frame": row["iou_of_whole_frame"],
            "photos": row["photos"],
        }
        for kind, row in figures["words"].items()
    ]
    near = [
        {
            "": kind,
            "samples": f"{row['median_of_samples']:.3f}",
            "test photos": f"{row['median_of_test_photos']:.3f}",
            "nearer than all but 1 % of test photos": _percent(row["share_nearer_than_1_percent_of_test_photos"]),
            "nearest photo is a test photo": _percent(row["share_nearest_to_a_test_photo"]),
        }
        for kind, row in figures["neighbours"].items()
    ]
    judged, photos = names["generated"]["images"], names["photos"]
    test_share = next(iter(figures["neighbours"].values()))["share_of_test_photos"]
    return f"""## Evaluation

On photos that it was not trained on, and on {sum(judged.values())} generated images ({figures["steps"]} steps, guidance
{figures["guidance_scale"]:g}).

{markdown(figures["table"])}

{verdict}

**Colours.** Share of images whose centre-weighted HSV colour is the one in the caption. The test photos' captions were
named by the same kind of rule, so their row shows what the measure can reach.

{markdown(by_color)}

**Names.** What a separate classifier sees in generated images (columns) for what was asked (rows). On test photos the
classifier is right for {_percent(photos["flowers"])} of the flowers and {_percent(photos["pets"])} of the pets, which
limits what it can say.

{markdown(confusion)}

**Words looked at.** The noun's cross-attention on a photo, cut at the one threshold that suits these
photos best, against the object's pixels: people drew the pets' trimaps, the flowers' masks were found by their colour.

{markdown(words)}

**Memorised or not.** Median RMS distance to the nearest train photo or its mirror image, at 32x32 pixels in [0, 1].
Samples that copied train photos would lie much nearer to them than photos that the model never saw. Softness alone also
brings images nearer to any photo, so the last column asks whether a sample's nearest photo of all was trained on: test
photos are {_percent(test_share)} of all, and as many of the samples should be nearest to one if nothing is memorised.

{markdown(near)}
"""


def data_section(rows: list[dict[str, Any]]) -> str:
    """Sources, licences and numbers of photos."""
    real = [row for row in rows if not row.get("dyed")]
    numbers = Counter(("pets" if "animal" in row else "flowers", row["split"]) for row in real)
    shown = Counter(row.get("breed") or row["flower"] for row in real if row["split"] == "train")
    return DATA.format(
        **{f"{kind}_{split}": numbers[kind, split] for kind in ("flowers", "pets") for split in ("train", "test")},
        breed_count={3: "three"}.get(len(BREEDS), len(BREEDS)),
        dyed=len(rows) - len(real),
        counts=", ".join(f"{name} {count}" for name, count in sorted(shown.items())),
    )


def stages_of(autoencoder_logs: list[Path], denoiser_log: Path, earlier: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every stage of the training: those of `earlier` versions, then this one's autoencoder, denoiser and decoder.

    A version that keeps the autoencoder of the one before it gives no log of one.
    """
    least = 0 if earlier else 1
    if not least <= len(autoencoder_logs) <= 2:
        raise typer.BadParameter(
            f"expected {'no, ' if earlier else ''}one or two logs of the autoencoder, got {len(autoencoder_logs)}"
        )
    logs = dict(zip((AUTOENCODER, DECODER), autoencoder_logs, strict=False)) | {DENOISER: denoiser_log}
    version = 1 + max((row["version"] for row in earlier), default=0)
    return [*earlier, *(stage(version, name, logs[name]) for name in STAGES if name in logs)]


def commands_of(stages: list[dict[str, Any]]) -> str:
    """What makes the last version again."""
    version = stages[-1]["version"]
    own = {row["stage"]: row for row in stages if row["version"] == version}
    before = f"version-{version - 1}"
    start = f" --start-from {before}" if version > 1 else ""
    encoder = "work/autoencoder/weights" if AUTOENCODER in own else f"{before}/vae"
    commands = [PREPARE_COMMAND]
    if AUTOENCODER in own:
        commands.append(AUTOENCODER_COMMAND.format(row=own[AUTOENCODER], start=start and f"{start}/vae"))
    commands.append(DENOISER_COMMANDS.format(row=own[DENOISER], encoder=encoder, start=start))
    if DECODER in own:
        commands.append(DECODER_COMMAND.format(row=own[DECODER], encoder=encoder))
    commands.append(EXPORT_COMMAND.format(decoder="work/decoder/weights" if DECODER in own else encoder))
    return "\n".join(commands)


def recipe_section(stages: list[dict[str, Any]], rows: list[dict[str, Any]], hardware: str) -> str:
    """How it was trained, and the commands of the last version."""
    version = stages[-1]["version"]
    kinds = Counter(kind_of(row) for row in rows if row["split"] == "train")
    plurals = {"flower": "flowers", "dyed": "dyed flowers", "pet": "pets"}
    started = version > 1
    return RECIPE.format(
        hardware=hardware,
        stages=markdown(stages),
        start=START.format(version=version, before=version - 1) if started else "",
        what=f"version {version}" if started else "it",
        smallest_crop=SMALLEST_CROP,
        crops=", ".join(f"{plurals[kind]} {number}" for kind, number in CROPS.items() if kinds[kind]),
        min_snr=MIN_SNR,
        empty=EMPTY_CAPTIONS,
        sampling=", ".join(f"{share:.0%} {plurals[kind]}" for kind, share in SAMPLING.items() if kinds[kind]),
        dyes=DYES_PER_PHOTO,
        grounding=GROUNDING,
        commands=commands_of(stages),
    )


def attribution(rows: list[dict[str, Any]]) -> str:
    """The Flickr page of every flower photo that was trained on, one a line."""
    sources = sorted({row["source"] for row in rows if row["split"] == "train" and "source" in row})
    heading = f"""The {len(sources)} photos of the flower_photos collection (TensorFlow team) that the
bundled model was trained on, under CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/). Each page names its
photographer. The photos were cropped, made smaller and partly dyed for training; none is part of this folder.
"""
    return "\n".join([heading, *sources, ""])


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:-1])) + f" and {values[-1]}"


def main(
    evaluation: Annotated[Path, typer.Option(help="the evaluation.json that training.evaluate wrote")],
    prepared: Annotated[Path, typer.Option(help="the file that training.prepare wrote")],
    denoiser_log: Annotated[Path, typer.Option(help="the denoiser's log.jsonl")],
    hardware: Annotated[str, typer.Option(help="what it was trained on, in words")],
    out: Annotated[Path, typer.Option(help="the card to write, in the model's folder")],
    autoencoder_log: Annotated[
        list[Path] | None, typer.Option(help="of the autoencoder; again for its decoder alone; none where it was kept")
    ] = None,
    earlier: Annotated[Path | None, typer.Option(help="training.json of the model that this one started from")] = None,
) -> None:
    """Write the model card, the list of photos and the stages of the training."""
    if earlier and earlier.resolve() == (out.parent / "training.json").resolve():
        raise typer.BadParameter(f"expected the training.json of another version, got this model's own: {earlier}")
    figures, rows = json.loads(evaluation.read_text()), rows_of(prepared)
    stages = stages_of(autoencoder_log or [], denoiser_log, json.loads(earlier.read_text()) if earlier else [])
    sections = [
        HEADER,
        introduction(out.parent),
        USE.format(
            size=figures["size"],
            species=", ".join(SPECIES),
            colors=", ".join(FLOWER_COLORS),
            breeds=", ".join(BREEDS),
        ),
        data_section(rows),
        recipe_section(stages, rows, hardware),
        evaluation_section(figures),
    ]
    out.write_text("\n".join(sections))
    (out.parent / "ATTRIBUTION.txt").write_text(attribution(rows))
    (out.parent / "training.json").write_text(json.dumps(stages, indent=1) + "\n")
    print(f"{out}, and ATTRIBUTION.txt and training.json beside it")


if __name__ == "__main__":
    typer.run(main)
