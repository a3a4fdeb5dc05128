"""The command line: options have the names that they have in Python."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import torch
import typer
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import Photo, open_photo
from backbones.saving import check_folder, check_target, make_folder, write_picture
from editing.compare import compare_with_inpainting
from editing.edit import Editor, EditResult
from editing.settings import EditSettings, InversionSettings
from editing.verdict import format_metrics
from inversion.trajectory import Trajectory
from studio.options import spread_settings
from studio.sheets import attention_sheet

app = typer.Typer(
    help="Edit a photo by changing its caption; what the words do not change stays exactly as it was.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PhotoFile = Annotated[Path, typer.Argument(help="the photo; it is never changed")]
CaptionText = Annotated[str, typer.Argument(help="what the photo shows")]
NewCaption = Annotated[str, typer.Argument(help="what it should show")]
Model = Annotated[str, typer.Option(help="'bundled', a folder in diffusers' layout, or a Hugging Face hub id")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is by default")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16, of the network")]
Region = Annotated[
    tuple[int, int, int, int] | None,
    typer.Option(metavar="LEFT TOP RIGHT BOTTOM", help="the part of the photo to work on, in pixels"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files that exist")]


@app.command()
@spread_settings
def edit(
    context: typer.Context,
    photo: PhotoFile,
    caption: CaptionText,
    new_caption: NewCaption,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the edit goes: .png, .jpg, .webp, .tiff")],
    *,
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: InversionSettings,
    settings: EditSettings,
    sheet: Annotated[Path | None, typer.Option(help="also write one picture that shows the whole edit")] = None,
    mask_out: Annotated[Path | None, typer.Option(help="also write the mask")] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="a saved inversion of this photo, instead of inverting")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Edit PHOTO, which shows CAPTION, into NEW_CAPTION."""
    opened = open_photo(photo)
    check_targets([out, sheet, mask_out], opened, overwrite=overwrite)
    editor = Editor(announce(load_backbone(model, device, read_dtype(dtype))), progress=True)
    if trajectory is None:
        editor.check(caption, new_caption, opened.size, settings)
        path = editor.invert(opened, caption, inversion, region=region)
    else:
        check_left_alone(context, "region", *(field.name for field in fields(InversionSettings)))
        path = Trajectory.load(trajectory)
        path.check_valid_for(caption=caption)
    result = editor.edit(path, new_caption, settings, photo=opened)
    write(result, out, sheet, mask_out, overwrite=overwrite)
    report(result, out)


@app.command()
@spread_settings
def invert(
    photo: PhotoFile,
    caption: CaptionText,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the inversion goes: .safetensors")],
    *,
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: InversionSettings,
    overwrite: Overwrite = False,
) -> None:
    """Invert PHOTO once and save it, for `edit --trajectory`."""
    opened = open_photo(photo)
    check_target(out, opened, overwrite=overwrite, suffix=".safetensors")
    editor = Editor(announce(load_backbone(model, device, read_dtype(dtype))), progress=True)
    editor.invert(opened, caption, inversion, region=region).save(out)
    typer.echo(f"wrote {out}")


@app.command()
def attention(
    photo: PhotoFile,
    caption: CaptionText,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the picture goes")],
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    steps: Annotated[int, typer.Option(help="denoising steps")] = InversionSettings.steps,
    over_steps: Annotated[bool, typer.Option("--over-steps", help="every content word from noise to photo")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Show where the model sees each word of CAPTION in PHOTO."""
    opened = open_photo(photo)
    check_target(out, opened, overwrite=overwrite)
    editor = Editor(announce(load_backbone(model, device, read_dtype(dtype))), progress=True)
    trajectory = editor.invert(opened, caption, inversion="direct", steps=steps, region=region)
    write_picture(attention_sheet(editor, trajectory, opened, over_steps=over_steps), out, overwrite=overwrite)
    typer.echo(f"wrote {out}")


@app.command()
@spread_settings
def compare(
    photo: PhotoFile,
    caption: CaptionText,
    new_caption: NewCaption,
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to write to")],
    *,
    mask: Annotated[Path | None, typer.Option(help="picture: white is inpainted, beside the edit's own mask")] = None,
    seed: Annotated[int, typer.Option(help="of the noise that inpainting starts from")] = 0,
    model: Model = "bundled",
    inpaint_model: Annotated[
        str | None, typer.Option(help="a folder or hub id of a model trained to inpaint, compared as well")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: InversionSettings,
    settings: EditSettings,
    overwrite: Overwrite = False,
) -> None:
    """Edit PHOTO and inpaint it with the same words, side by side: pictures, figures and a page with a slider."""
    opened = open_photo(photo)
    check_folder(out, opened, overwrite=overwrite)
    number_format = read_dtype(dtype)
    comparison = compare_with_inpainting(
        opened,
        caption,
        new_caption,
        mask=mask,
        model=announce(load_backbone(model, device, number_format)),
        inpaint_model=inpaint_model,
        seed=seed,
        device=device,
        dtype=number_format,
        region=region,
        progress=True,
        **vars(inversion),
        **vars(settings),
    )
    comparison.save(out, overwrite=overwrite)
    typer.echo(comparison.table())
    typer.echo(f"wrote {out}; open {out / 'index.html'} in a browser")
    for warning in comparison.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to write to")] = Path("out/demo"),
    overwrite: Overwrite = False,
) -> None:
    """Edit scikit-learn's sample photograph of a flower with the bundled model, twice from one inversion."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise EditRealError(
            "expected scikit-learn, whose sample photograph the demo edits, got none; pip install scikit-learn, or use "
            "`edit-real edit` on a photo of yours"
        ) from error
    photo = open_photo(load_sample_image("flower.jpg"))
    check_folder(out, photo, overwrite=overwrite)
    make_folder(out)
    editor = Editor(announce(load_backbone("bundled")), progress=True)
    trajectory = editor.invert(photo, "a photo of an orange flower")
    write_picture(photo.image, out / "photo.png", overwrite=overwrite)
    for color in ("pink", "white"):
        result = editor.edit(trajectory, f"a photo of a {color} flower")
        target = out / f"{color}.png"
        write(result, target, out / f"{color}-sheet.png", out / f"{color}-mask.png", overwrite=overwrite)
        report(result, target)


@app.command()
def models() -> None:
    """Say which models there are and what the bundled one knows."""
    backbone = load_backbone("bundled")
    typer.echo(
        f"bundled: {backbone.image_size}x{backbone.image_size} pixels, {backbone.prediction_type}, "
        f"{sum(p.numel() for p in backbone.unet.parameters()) / 1e6:.1f} M parameters in the UNet"
    )
    typer.echo(f"  words it was trained on: {', '.join(sorted(backbone.known_words or ()))}")
    typer.echo("any Stable Diffusion 1.x or 2.x model in safetensors:")
    typer.echo("  --model FOLDER, a folder in diffusers' layout, or")
    typer.echo("  --model HUB_ID, such as stable-diffusion-v1-5/stable-diffusion-v1-5 (downloaded once)")


def check_left_alone(context: typer.Context, *names: str) -> None:
    """Refuses options that a saved inversion has settled already."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise EditRealError(f"expected no {options} beside --trajectory, which was inverted with its own; leave it out")


def check_targets(targets: Iterable[Path | None], photo: Photo, *, overwrite: bool) -> None:
    """Refuses files that cannot be written, or of which one would replace another."""
    given = [target for target in targets if target]
    for target in given:
        check_target(target, photo, overwrite=overwrite)
    twice = [target for target in given if [other.resolve() for other in given].count(target.resolve()) > 1]
    if twice:
        raise EditRealError(f"expected a file of its own for each picture, got {twice[0]} more than once; rename one")


def announce(backbone: Backbone) -> Backbone:
    """Says in one line which model is used and how to choose another."""
    typer.echo(
        f"model: {backbone.name}, {backbone.image_size}x{backbone.image_size}, on {backbone.device.type} in "
        f"{str(backbone.dtype).removeprefix('torch.')} (another: --model FOLDER or HUB_ID)",
        err=True,
    )
    return backbone


def write(result: EditResult, out: Path, sheet: Path | None, mask_out: Path | None, *, overwrite: bool) -> None:
    """Writes an edit, its sheet and its mask."""
    result.save(out, overwrite=overwrite)
    if sheet:
        write_picture(result.sheet(), sheet, overwrite=overwrite)
    if mask_out:
        write_picture(result.mask, mask_out, overwrite=overwrite)


def report(result: EditResult, out: Path) -> None:
    """Prints the verdict on an edit."""
    typer.echo(f"wrote {out}: {format_metrics(result.metrics)}")
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)


def read_dtype(name: str | None) -> torch.dtype | None:
    """A number format by its name."""
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name is not None and name not in formats:
        raise EditRealError(f"expected a dtype among {', '.join(formats)}, got {name!r}")
    return formats[name] if name else None


def main() -> None:
    """Entry point: what the user can put right is one sentence, not a traceback."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    for library in (diffusers_logging, transformers_logging):  # what matters of them is said in our own words
        library.disable_progress_bar()
        library.set_verbosity_error()
    try:
        app()
    except EditRealError as error:
        typer.echo(f"edit-real: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
