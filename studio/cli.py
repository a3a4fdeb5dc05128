"""The command line: options have the names that they have in Python."""

from __future__ import annotations

import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import check_target, open_photo, write_picture
from editing.compare import check_folder, compare_with_inpainting
from editing.edit import Editor, EditResult
from editing.settings import EditSettings, InversionSettings
from editing.sheet import format_metrics
from inversion.trajectory import Trajectory
from studio.sheets import attention_sheet

app = typer.Typer(
    help="Edit a photo by changing its caption; what the words do not change stays exactly as it was.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Photo = Annotated[Path, typer.Argument(help="the photo; it is never changed")]
CaptionText = Annotated[str, typer.Argument(help="what the photo shows")]
NewCaption = Annotated[str, typer.Argument(help="what it should show")]
Model = Annotated[str, typer.Option(help="'bundled', a folder in diffusers' layout, or a Hugging Face hub id")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is by default")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16, of the network")]
Region = Annotated[
    tuple[int, int, int, int] | None,
    typer.Option(metavar="LEFT TOP RIGHT BOTTOM", help="the part of the photo to work on, in pixels"),
]
Inversion = Annotated[str, typer.Option(help="null_text, negative_prompt, direct or ddim")]
Steps = Annotated[int, typer.Option(help="denoising steps")]
GuidanceScale = Annotated[
    float | None, typer.Option(help="how strongly the edit follows the new caption; by default what suits the model")
]
MaxInnerSteps = Annotated[int, typer.Option(help="null-text updates at each step")]
NullTextStart = Annotated[str, typer.Option(help="whose embedding null-text starts from: empty or caption")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files that exist")]

_INVERSION, _EDIT = InversionSettings(), EditSettings()


@app.command()
def edit(
    context: typer.Context,
    photo: Photo,
    caption: CaptionText,
    new_caption: NewCaption,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the edit goes: .png, .jpg, .webp, .tiff")],
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: Inversion = _INVERSION.inversion,
    steps: Steps = _INVERSION.steps,
    guidance_scale: GuidanceScale = _INVERSION.guidance_scale,
    max_inner_steps: MaxInnerSteps = _INVERSION.max_inner_steps,
    null_text_start: NullTextStart = _INVERSION.null_text_start,
    cross_replace: Annotated[
        list[str] | None,
        typer.Option(
            help="when the photo's cross-attention is kept: 0.8, 0.1:0.8, or a word's own: pink=0:0.4; repeatable"
        ),
    ] = None,
    self_replace: Annotated[
        str, typer.Option(help="when its self-attention is, which holds the layout: 0.4 or 0.1:0.4")
    ] = str(_EDIT.self_replace),
    control: Annotated[str, typer.Option(help="what a swapped word looks at: auto, replace or refine")] = _EDIT.control,
    emphasis: Annotated[float, typer.Option(help="weight of the words that NEW_CAPTION brings")] = _EDIT.emphasis,
    reweight: Annotated[
        list[str] | None, typer.Option(help="one word's weight instead: pink=2; 0 turns it off; repeatable")
    ] = None,
    blend_words: Annotated[
        list[str] | None, typer.Option(help="a word that says where to edit, instead of the changed ones; repeatable")
    ] = None,
    protect_words: Annotated[list[str] | None, typer.Option(help="a word that must not change; repeatable")] = None,
    include_mask: Annotated[Path | None, typer.Option(help="picture: white is always edited")] = None,
    exclude_mask: Annotated[Path | None, typer.Option(help="picture: white is never edited")] = None,
    local_blend: Annotated[bool, typer.Option(help="restore what lies outside the mask")] = _EDIT.local_blend,
    blend_start: Annotated[float, typer.Option(help="share of the steps before that begins")] = _EDIT.blend_start,
    cell_share: Annotated[
        float, typer.Option(help="share of a latent cell inside the mask from which it is edited; 1: the maps decide")
    ] = _EDIT.cell_share,
    mask_rule: Annotated[str, typer.Option(help="otsu, midrange or published")] = _EDIT.mask_rule,
    mask_threshold: Annotated[float | None, typer.Option(help="0 to 1, instead of the rule's own")] = None,
    mask_spread: Annotated[
        int, typer.Option(help="times a word's heat is carried along self-attention")
    ] = _EDIT.mask_spread,
    refinement: Annotated[
        str, typer.Option(help="how the mask finds edges: guided, grabcut or plain")
    ] = _EDIT.refinement,
    feather: Annotated[float, typer.Option(help="fade inside the mask, a share of the longer side")] = _EDIT.feather,
    keep_detail: Annotated[
        bool, typer.Option(help="carry the photo's own texture through the edit")
    ] = _EDIT.keep_detail,
    texture: Annotated[
        float | None,
        typer.Option(help="least share of the fine texture that stays; by default all if only colours change"),
    ] = _EDIT.texture,
    exact: Annotated[bool, typer.Option(help="follow the inversion exactly")] = _EDIT.exact,
    seed: Annotated[int, typer.Option(help="recorded; a photo's edit draws no random numbers")] = _EDIT.seed,
    sheet: Annotated[Path | None, typer.Option(help="also write one picture that shows the whole edit")] = None,
    mask_out: Annotated[Path | None, typer.Option(help="also write the mask")] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="a saved inversion of this photo, instead of inverting")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Edit PHOTO, which shows CAPTION, into NEW_CAPTION."""
    settings = EditSettings(
        cross_replace=read_windows(cross_replace, _EDIT.cross_replace),
        self_replace=read_window(self_replace),
        control=control,
        emphasis=emphasis,
        reweight=read_weights(reweight or []),
        blend_words=blend_words or None,
        protect_words=protect_words or [],
        include_mask=include_mask,
        exclude_mask=exclude_mask,
        local_blend=local_blend,
        blend_start=blend_start,
        cell_share=cell_share,
        mask_rule=mask_rule,
        mask_threshold=mask_threshold,
        mask_spread=mask_spread,
        refinement=refinement,
        feather=feather,
        keep_detail=keep_detail,
        texture=texture,
        exact=exact,
        seed=seed,
    )
    inversion_settings = InversionSettings(
        inversion=inversion,
        steps=steps,
        guidance_scale=guidance_scale,
        max_inner_steps=max_inner_steps,
        null_text_start=null_text_start,
    )
    opened = open_photo(photo)
    for target in filter(None, (out, sheet, mask_out)):
        check_target(target, opened, overwrite=overwrite)
    editor = Editor(announce(load_backbone(model, device, read_dtype(dtype))), progress=True)
    if trajectory is None:
        path = editor.invert(opened, caption, inversion_settings, region=region)
    else:
        check_left_alone(context, "region", *(field.name for field in fields(InversionSettings)))
        path = Trajectory.load(trajectory)
        path.check_valid_for(caption=caption)
    result = editor.edit(path, new_caption, settings, photo=opened)
    write(result, out, sheet, mask_out, overwrite=overwrite)
    report(result, out)


@app.command()
def invert(
    photo: Photo,
    caption: CaptionText,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the inversion goes: .safetensors")],
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: Inversion = _INVERSION.inversion,
    steps: Steps = _INVERSION.steps,
    guidance_scale: GuidanceScale = _INVERSION.guidance_scale,
    max_inner_steps: MaxInnerSteps = _INVERSION.max_inner_steps,
    null_text_start: NullTextStart = _INVERSION.null_text_start,
    overwrite: Overwrite = False,
) -> None:
    """Invert PHOTO once and save it, for `edit --trajectory`."""
    settings = InversionSettings(
        inversion=inversion,
        steps=steps,
        guidance_scale=guidance_scale,
        max_inner_steps=max_inner_steps,
        null_text_start=null_text_start,
    )
    opened = open_photo(photo)
    check_target(out, opened, overwrite=overwrite, suffix=".safetensors")
    editor = Editor(announce(load_backbone(model, device, read_dtype(dtype))), progress=True)
    editor.invert(opened, caption, settings, region=region).save(out)
    typer.echo(f"wrote {out}")


@app.command()
def attention(
    photo: Photo,
    caption: CaptionText,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the picture goes")],
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    steps: Steps = _INVERSION.steps,
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
def compare(
    photo: Photo,
    caption: CaptionText,
    new_caption: NewCaption,
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to write to")],
    mask: Annotated[Path | None, typer.Option(help="picture: white is inpainted, beside the edit's own mask")] = None,
    seed: Annotated[int, typer.Option(help="of the noise that inpainting starts from")] = _EDIT.seed,
    model: Model = "bundled",
    inpaint_model: Annotated[
        str | None, typer.Option(help="a folder or hub id of a model trained to inpaint, compared as well")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: Inversion = _INVERSION.inversion,
    steps: Steps = _INVERSION.steps,
    guidance_scale: GuidanceScale = _INVERSION.guidance_scale,
    max_inner_steps: MaxInnerSteps = _INVERSION.max_inner_steps,
    null_text_start: NullTextStart = _INVERSION.null_text_start,
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
        inversion=inversion,
        steps=steps,
        guidance_scale=guidance_scale,
        max_inner_steps=max_inner_steps,
        null_text_start=null_text_start,
    )
    comparison.save(out, overwrite=overwrite)
    typer.echo(comparison.table())
    typer.echo(f"wrote {out}; open {out / 'index.html'} in a browser")
    for warning in comparison.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to write to")] = Path("out/demo"),
) -> None:
    """Edit scikit-learn's sample photograph of a flower with the bundled model, twice from one inversion."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise EditRealError(
            "expected scikit-learn, whose sample photograph the demo edits, got none; pip install scikit-learn, or use "
            "`edit-real edit` on a photo of yours"
        ) from error
    out.mkdir(parents=True, exist_ok=True)
    photo = open_photo(load_sample_image("flower.jpg"))
    editor = Editor(announce(load_backbone("bundled")), progress=True)
    trajectory = editor.invert(photo, "a photo of an orange flower")
    write_picture(photo.image, out / "photo.png", overwrite=True)
    for color in ("pink", "white"):
        result = editor.edit(trajectory, f"a photo of a {color} flower")
        target = out / f"{color}.png"
        write(result, target, out / f"{color}-sheet.png", out / f"{color}-mask.png", overwrite=True)
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


def read_window(text: str) -> float | tuple[float, float]:
    """`0.8` or `0.1:0.8`."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 2):
        raise EditRealError(f"expected a window such as 0.8 or 0.1:0.8, got {text!r}")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def read_windows(texts: list[str] | None, default: Any) -> Any:
    """Windows with and without a word; the one without is everyone else's."""
    if not texts:
        return default
    pairs = [text.rpartition("=") for text in texts]
    return {"default": default, **{word or "default": read_window(window) for word, _, window in pairs}}


def read_weights(texts: list[str]) -> dict[str, float]:
    """`word=2` for every word."""
    weights = {}
    for text in texts:
        word, _, number = text.rpartition("=")
        try:
            weights[word] = float(number)
        except ValueError:
            word = ""
        if not word:
            raise EditRealError(f"expected a word and its weight such as pink=2, got {text!r}")
    return weights


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
