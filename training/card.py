r"""Write the bundled model's card and the list of its photos from what the other commands left on disk.

    python -m training.card --evaluation work/evaluation/evaluation.json --prepared work/prepared.safetensors \
        --autoencoder-log work/autoencoder/log.jsonl --denoiser-log work/denoiser/log.jsonl \
        --hardware "2 CPU cores" --out backbones/bundled/MODEL_CARD.md

The words are those of `card.md`; this fills in what was measured. The model's own folder is the card's;
`ATTRIBUTION.txt` and `training.json`, the stages of the training, are written beside the card. A model that started
from another's weights also gives that one's `--earlier training.json`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Annotated, Any

import typer
from safetensors import safe_open

from training.denoiser import EMPTY_CAPTIONS, GROUNDING, MIN_SNR, SAMPLING
from training.prepare import load_rows
from training.views import DYED, PASTED, SMALLEST_CROP
from workshop.tables import markdown

TEMPLATE = Path(__file__).with_name("card.md")
PARTS = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
COLLECTIONS = {
    "flower-photos-144": ("`flower_photos`, gathered by the TensorFlow team from Flickr", "CC BY 2.0"),
    "pet-photos-144": ("Oxford-IIIT Pet Dataset, three breeds with their trimaps", "CC BY-SA 4.0"),
    "more-pet-photos-192": ("Oxford-IIIT Pet Dataset, four more breeds", "CC BY-SA 4.0"),
    "clothes-photos-192": ("Clothing dataset (A. Grigorev and 32 contributors, 2020)", "CC0 1.0"),
    "fruit-photos-192": ("Grocery Store Dataset (M. Klasson, C. Zhang, H. Kjellström)", "MIT"),
    "car-photos-192": ("Flickr photos of the LIRE project's test data", "CC BY 2.0 or CC BY-SA 2.0, each photo's own"),
}
"""Archive -> what it holds, and its licence."""
LICENCE_PAGES = """CC BY 2.0: https://creativecommons.org/licenses/by/2.0/
CC BY-SA 2.0: https://creativecommons.org/licenses/by-sa/2.0/
CC BY-SA 4.0: https://creativecommons.org/licenses/by-sa/4.0/
CC0 1.0: https://creativecommons.org/publicdomain/zero/1.0/
MIT: https://github.com/marcusklasson/GroceryStoreDataset/blob/master/LICENSE"""

ATTRIBUTION_HEADING = f"""The photos that the bundled model was trained on. They were cropped, made smaller and partly
dyed; none is part of this folder.

{LICENCE_PAGES}
"""

START = """Each version started from the weights of the one before, as far as they fit. The repository's history holds
version {before}, `version-{before}` below.
"""

PREPARE_COMMAND = "python -m training.prepare {photos} \\\n    --out work/prepared.safetensors"

AUTOENCODER_COMMAND = """python -m training.autoencoder --prepared work/prepared.safetensors \\
    --folder work/autoencoder --minutes {row[minutes]} --learning-rate {row[learning rate]}{start}"""

DENOISER_COMMANDS = """python -m training.latents --prepared work/prepared.safetensors --autoencoder {encoder} \\
    --out work/whole.safetensors
python -m training.latents --prepared work/prepared.safetensors --autoencoder {encoder} --seed 1 \\
    --out work/views-1.safetensors
python -m training.denoiser --latents work/whole.safetensors --latents work/views-1.safetensors \\
    --folder work/denoiser --minutes {row[minutes]} --learning-rate {row[learning rate]}{start}"""

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


def of_model(model: Path) -> dict[str, object]:
    """What it is, as its configurations and its words give it."""
    unet, vae, text, scheduler = (
        json.loads((model / part / name).read_text())
        for part, name in (*((part, "config.json") for part in PARTS), ("scheduler", "scheduler_config.json"))
    )
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
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
    words = json.loads((model / "edit_real.json").read_text())["words"]
    return {
        "millions": f"{sum(counts.values()) / 1e6:.1f}",
        "megabytes": f"{sum(path.stat().st_size for path in model.rglob('*.safetensors')) / 1e6:.0f}",
        "size": unet["sample_size"] * factor,
        "architecture": markdown(table),
        "words": "\n".join(f"- {kind}: {', '.join(known)}" for kind, known in words.items()),
        **{key: scheduler[key] for key in ("beta_schedule", "beta_start", "beta_end", "prediction_type")},
    }


def of_data(rows: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Sources, licences and numbers of photos."""
    numbers = Counter((row["archive"], row["split"]) for row in rows)
    table = [
        {
            "collection": name,
            "licence": licence,
            "train photos": numbers[archive, "train"],
            "test photos": numbers[archive, "test"],
        }
        for archive, (name, licence) in COLLECTIONS.items()
        if numbers[archive, "train"]
    ]
    shown = Counter(row.get("breed") or row["thing"] for row in rows if row["split"] == "train")
    return {
        "collections": markdown(table),
        "counts": ", ".join(f"{name} {count}" for name, count in sorted(shown.items())),
    }


def of_recipe(stages: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], hardware: str) -> dict[str, object]:
    """How it was trained, and the commands of the last version."""
    version = stages[-1]["version"]
    return {
        "hardware": hardware,
        "stages": markdown(stages),
        "start": START.format(before=version - 1) if version > 1 else "",
        "what": f"version {version}" if version > 1 else "it",
        "smallest_crop": _percent(SMALLEST_CROP),
        "dyed": _by_kind(DYED),
        "pasted": _by_kind(PASTED),
        "min_snr": f"{MIN_SNR:g}",
        "empty": _percent(EMPTY_CAPTIONS),
        "sampling": _by_kind(SAMPLING),
        "grounding": f"{GROUNDING:g}",
        "commands": commands_of(stages, sorted({row["archive"] for row in rows})),
    }


def of_evaluation(figures: dict[str, Any]) -> dict[str, object]:
    """The figures with their goals, what was missed in a sentence, and the tables behind them."""
    missed = [row["measure"] for row in figures["table"] if row["result"] != "met"]
    colors, names = figures["colors"], figures["names"]
    given = {noun: {label: n for label, n in row.items() if n} for noun, row in names["generated"]["confusion"].items()}
    return {
        "judged": sum(names["generated"]["images"].values()),
        "steps": figures["steps"],
        "guidance_scale": f"{figures['guidance_scale']:g}",
        "table": markdown(figures["table"]),
        "verdict": f"Goals missed: {'; '.join(missed)}." if missed else "Every goal is met.",
        "psnr": markdown([figures["autoencoder"]["psnr"]]),
        "by_color": markdown([_shares(whose, colors[whose]["by_color"]) for whose in ("generated", "photos")]),
        "by_kind": markdown([_shares(whose, names[whose]["by_kind"]) for whose in ("generated", "photos")]),
        "confusion": "\n".join(
            f"- {noun}: " + ", ".join(f"{label} {n}" for label, n in Counter(row).most_common(3))
            for noun, row in given.items()
        ),
        "looked_at": markdown(
            [
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
        ),
        "near": markdown(
            [
                {
                    "": kind,
                    "samples": f"{row['median_of_samples']:.3f}",
                    "test photos": f"{row['median_of_test_photos']:.3f}",
                    "nearer than all but 1 % of test photos": _percent(
                        row["share_nearer_than_1_percent_of_test_photos"]
                    ),
                    "nearest photo is a test photo": _percent(row["share_nearest_to_a_test_photo"]),
                }
                for kind, row in figures["neighbours"].items()
            ]
        ),
        "test_share": _percent(next(iter(figures["neighbours"].values()))["share_of_test_photos"]),
    }


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


def commands_of(stages: Sequence[dict[str, Any]], archives: Sequence[str]) -> str:
    """What makes the last version again."""
    version = stages[-1]["version"]
    own = {row["stage"]: row for row in stages if row["version"] == version}
    before = f"version-{version - 1}"
    start = f" --start-from {before}" if version > 1 else ""
    encoder = "work/autoencoder/weights" if AUTOENCODER in own else f"{before}/vae"
    photos = " \\\n    ".join(f"--photos {archive}.zip" for archive in archives)
    commands = [PREPARE_COMMAND.format(photos=photos)]
    if AUTOENCODER in own:
        commands.append(AUTOENCODER_COMMAND.format(row=own[AUTOENCODER], start=start and f"{start}/vae"))
    commands.append(DENOISER_COMMANDS.format(row=own[DENOISER], encoder=encoder, start=start))
    if DECODER in own:
        commands.append(DECODER_COMMAND.format(row=own[DECODER], encoder=encoder))
    commands.append(EXPORT_COMMAND.format(decoder="work/decoder/weights" if DECODER in own else encoder))
    return "\n".join(commands)


def attribution(rows: Sequence[dict[str, Any]]) -> str:
    """Every photo that was trained on, by collection, with its page, licence and owner where they are known."""
    parts = [ATTRIBUTION_HEADING]
    for archive, (name, licence) in COLLECTIONS.items():
        trained = [row for row in rows if row["split"] == "train" and row["archive"] == archive]
        lines = sorted({_credit(row) for row in trained})
        if lines:
            parts.append("\n".join([f"{name}: {len(trained)} photos, {licence}", *lines, ""]))
    return "\n".join(parts)


def _credit(row: dict[str, Any]) -> str:
    source = row.get("source") or Path(row["file_name"]).name
    return ", ".join([source, *(row[key] for key in ("owner", "license") if row.get(key))])


def _shares(whose: str, shares: dict[str, float]) -> dict[str, str]:
    return {"": {"generated": "generated images", "photos": "test photos"}[whose]} | {
        name: _percent(share) for name, share in shares.items()
    }


def _by_kind(shares: dict[str, float]) -> str:
    return _listed([f"{share:.0%} {kind}" for kind, share in shares.items() if share])


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _listed(values: Sequence[object]) -> str:
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
    figures = json.loads(evaluation.read_text())
    rows = [row for split in ("train", "test") for row in load_rows(prepared, split)]
    stages = stages_of(autoencoder_log or [], denoiser_log, json.loads(earlier.read_text()) if earlier else [])
    told = of_model(out.parent) | of_data(rows) | of_recipe(stages, rows, hardware) | of_evaluation(figures)
    out.write_text(Template(TEMPLATE.read_text()).substitute(told))
    (out.parent / "ATTRIBUTION.txt").write_text(attribution(rows))
    (out.parent / "training.json").write_text(json.dumps(stages, indent=1) + "\n")
    print(f"{out}, and ATTRIBUTION.txt and training.json beside it")


if __name__ == "__main__":
    typer.run(main)
