"""The commands of `edit-real`: options have the names that they have in Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub.utils import disable_progress_bars

from backbones.errors import EditRealError
from backbones.loading import find_device, load_backbone
from backbones.paths import expanded
from backbones.photo import Photo, open_photo
from backbones.saving import check_folder, check_target, make_folder, write_picture
from editing.checks import check_request
from editing.compare import compare_with_inpainting
from editing.editor import Editor
from editing.features import check_steps
from editing.inpaint import check_mask_in_region
from editing.pictures.overlay import overlay_mask
from editing.plan import plan_edit
from editing.recipe import read_recipe
from editing.settings import EditSettings, InpaintSettings, InversionSettings
from inversion.trajectory import Trajectory
from masks.user_mask import read_mask
from studio.batch.command import Request, check_jobs, do_jobs
from studio.batch.engines import Machines
from studio.batch.jobs import Defaults
from studio.batch.work import Setup
from studio.options import option_of, spread_settings
from studio.output import announce, check_targets, read_dtype, report, report_mask, warn_of_words, write
from studio.recall import command_line, describe, python_code, write_masks
from studio.samples import installed_samples
from studio.sheets import attention_sheet, feature_sheet

commands = typer.Typer()

PhotoFile = Annotated[Path, typer.Argument(help="the photo; it is never changed")]
CaptionText = Annotated[str, typer.Argument(help="what the photo shows")]
NewCaption = Annotated[str, typer.Argument(help="what it should show")]
Model = Annotated[str, typer.Option(help="'bundled', a folder in diffusers' layout, a .safetensors file, or a hub id")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is by default")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16, of the network")]
Region = Annotated[
    tuple[int, int, int, int] | None,
    typer.Option(metavar="LEFT TOP RIGHT BOTTOM", help="the part of the photo to work on, in pixels"),
]
SavedTrajectory = Annotated[Path | None, typer.Option(help="a saved inversion of this photo, instead of inverting")]
WHITE = (
    "where the mask goes: white is edited; white that you add goes back to `edit` as --include-mask, what you paint "
    "out as a white --exclude-mask"
)
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files that exist")]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a command; its paths have the folder that `~` stands for, where no shell has put it in."""

    @commands.command()
    @wraps(function)
    def run(**given: Any) -> None:
        function(**{name: expanded(value) if isinstance(value, Path) else value for name, value in given.items()})

    return run


@command
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
    trajectory: SavedTrajectory = None,
    recipe: Annotated[bool, typer.Option(help="keep captions and settings inside the file, for `recall`")] = True,
    overwrite: Overwrite = False,
) -> None:
    """Edit PHOTO, which shows CAPTION, into NEW_CAPTION."""
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_targets([out, sheet, mask_out], opened, overwrite=overwrite)
    check_request(opened, region=region, settings=settings, caption=caption, new_caption=new_caption)
    saved = None if trajectory is None else load_trajectory(context, trajectory, caption, opened)
    editor = Editor(announce(load_backbone(model, place, number_format)), progress=True)
    editor.check(caption, new_caption, opened.size, settings)
    inverted = saved or editor.invert(opened, caption, inversion, region=region)
    result = editor.edit(inverted, new_caption, settings, photo=opened)
    write(result, out, sheet, mask_out, overwrite=overwrite, recipe=recipe)
    report(result, out)


@command
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
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_target(out, opened, overwrite=overwrite, suffix=".safetensors")
    check_request(opened, region=region, caption=caption)
    editor = Editor(announce(load_backbone(model, place, number_format)), progress=True)
    warn_of_words(editor.backbone, caption)
    editor.invert(opened, caption, inversion, region=region).save(out)
    typer.echo(f"wrote {out}")


@command
def attention(
    photo: PhotoFile,
    caption: CaptionText,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the picture goes")],
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    steps: option_of(InversionSettings, "steps") = InversionSettings.steps,  # type: ignore[valid-type]
    over_steps: Annotated[bool, typer.Option("--over-steps", help="every content word from noise to photo")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Show where the model sees each word of CAPTION in PHOTO."""
    settings = InversionSettings(inversion="direct", steps=steps)
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_target(out, opened, overwrite=overwrite)
    check_request(opened, region=region, caption=caption)
    editor = Editor(announce(load_backbone(model, place, number_format)), progress=True)
    warn_of_words(editor.backbone, caption)
    trajectory = editor.invert(opened, caption, settings, region=region)
    write_picture(attention_sheet(editor, trajectory, opened, over_steps=over_steps), out, overwrite=overwrite)
    typer.echo(f"wrote {out}")


@command
def features(
    photo: PhotoFile,
    caption: CaptionText,
    out: Annotated[Path, typer.Option("--out", "-o", help="where the picture goes")],
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    steps: option_of(InversionSettings, "steps") = InversionSettings.steps,  # type: ignore[valid-type]
    at: Annotated[
        list[int] | None, typer.Option(help="a step to look at, from 0, noise; may be repeated; four by default")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show what the layers of the model's decoder hold of PHOTO, as colours."""
    settings = InversionSettings(inversion="direct", steps=steps)
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_target(out, opened, overwrite=overwrite)
    check_request(opened, region=region, caption=caption)
    check_steps(at or (), steps)
    editor = Editor(announce(load_backbone(model, place, number_format)), progress=True)
    trajectory = editor.invert(opened, caption, settings, region=region)
    write_picture(feature_sheet(editor, trajectory, opened, at), out, overwrite=overwrite)
    typer.echo(f"wrote {out}")


@command
@spread_settings
def mask(
    context: typer.Context,
    photo: PhotoFile,
    caption: CaptionText,
    new_caption: NewCaption,
    out: Annotated[Path, typer.Option("--out", "-o", help=WHITE)],
    *,
    overlay: Annotated[Path | None, typer.Option(help="also write the photo with the rest darkened")] = None,
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    steps: option_of(InversionSettings, "steps") = InversionSettings.steps,  # type: ignore[valid-type]
    settings: EditSettings,
    trajectory: SavedTrajectory = None,
    overwrite: Overwrite = False,
) -> None:
    """Show where an edit of PHOTO from CAPTION to NEW_CAPTION would begin, as a mask to look at or paint on."""
    inversion = InversionSettings(inversion="direct", steps=steps)
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_targets([out, overlay], opened, overwrite=overwrite)
    check_request(opened, region=region, settings=settings, caption=caption, new_caption=new_caption)
    saved = None if trajectory is None else load_trajectory(context, trajectory, caption, opened)
    editor = Editor(announce(load_backbone(model, place, number_format)), progress=True)
    plan = plan_edit(editor.backbone, caption, new_caption, opened.size, settings, inversion.sampled)
    warn_of_words(editor.backbone, caption, new_caption)
    inverted = saved or editor.invert(opened, caption, inversion, region=region)
    found = editor.mask(inverted, new_caption, settings, photo=opened)
    write_picture(found, out, overwrite=overwrite)
    if overlay:
        write_picture(overlay_mask(opened.image, found), overlay, overwrite=overwrite)
    report_mask(found, plan, out)


@command
@spread_settings
def compare(
    photo: PhotoFile,
    caption: CaptionText,
    new_caption: NewCaption,
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to write to")],
    *,
    mask: Annotated[Path | None, typer.Option(help="picture: white is inpainted, beside the edit's own mask")] = None,
    seed: option_of(InpaintSettings, "seed") = InpaintSettings.seed,  # type: ignore[valid-type]
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
    """Edit PHOTO and inpaint it with the same words: pictures, figures and a page with a slider."""
    InpaintSettings(seed=seed)
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_folder(out, opened, overwrite=overwrite)
    check_request(opened, region=region, settings=settings, caption=caption, new_caption=new_caption)
    drawn = None if mask is None else read_mask(mask, opened.size)
    if drawn is not None:
        check_mask_in_region(drawn, opened.size, region)
    comparison = compare_with_inpainting(
        opened,
        caption,
        new_caption,
        mask=drawn,
        model=announce(load_backbone(model, place, number_format)),
        inpaint_model=inpaint_model,
        seed=seed,
        device=place,
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


@command
def propose(
    photo: PhotoFile,
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
) -> None:
    """Propose a caption for PHOTO, of words that the model lists: a guess, and for most photos none."""
    opened, number_format, place = open_photo(photo), read_dtype(dtype), find_device(device)
    check_request(opened, region=region)
    backbone = announce(load_backbone(model, place, number_format))
    if not backbone.words:
        raise EditRealError(f"expected a model that lists its words, got {model}; describe the photo in words of yours")
    found = Editor(backbone).propose(opened, region=region)
    if found is None:
        typer.echo("no caption: none of the model's words stands out; describe the photo in words of yours", err=True)
    else:
        typer.echo(found.caption)


@command
def recall(
    file: Annotated[Path, typer.Argument(help="the picture; it is only read")],
    masks: Annotated[Path | None, typer.Option(help="a folder: also write the masks that the edit was given")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Say how FILE, a picture that edit-real wrote, was made, and print what makes it again."""
    recipe = read_recipe(file)
    if recipe is None:
        raise EditRealError(f"expected a picture that edit-real wrote with its recipe, got none in {file}")
    if masks is not None:
        write_masks(recipe, masks, overwrite=overwrite)
    typer.echo(describe(recipe))
    out, folder = f"edit{file.suffix}", masks or Path()
    for name, text in (("command line", command_line), ("Python", python_code)):
        typer.echo(f"\n{name}:\n\n{text(recipe, out=out, masks=folder)}")


@command
@spread_settings
def batch(
    jobs: Annotated[Path, typer.Argument(help="a .csv or .jsonl file of jobs, or a folder of photos")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="the folder of the results, or an address such as s3://bucket/folder")
    ] = "",
    *,
    caption: Annotated[str | None, typer.Option(help="what the photos show, where a row does not say")] = None,
    new_caption: Annotated[str | None, typer.Option(help="what they should show, where a row does not say")] = None,
    check: Annotated[bool, typer.Option("--check", help="only list the rows that have a fault")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="also try again what failed before")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; one for each graphics card, or for each core of a CPU")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="of each process; the last bits of an edit depend on it")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster")] = "local",
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster; it is started here where there is none")
    ] = None,
    image_format: Annotated[str, typer.Option(help="of the edits: png, jpg, webp or tiff")] = "png",
    sheet: Annotated[
        bool, typer.Option("--sheet", help="also write one picture for each row that shows it all")
    ] = False,
    model: Model = "bundled",
    device: Device = None,
    dtype: Dtype = None,
    region: Region = None,
    inversion: InversionSettings,
    settings: EditSettings,
) -> None:
    """Edit many photos by a list of jobs, each exactly once: folders, a ledger and a contact sheet."""
    request = Request(
        jobs=jobs,
        defaults=Defaults(caption, new_caption, region, inversion, settings),
        setup=Setup(out, model, device, dtype, threads, f".{image_format}", sheet),
        engine=engine,
        machines=Machines(workers, address),
        retry_failed=retry_failed,
    )
    raise typer.Exit(check_jobs(request) if check else do_jobs(request))


@command
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to write to")] = Path("out/demo"),
    steps: option_of(InversionSettings, "steps") = InversionSettings.steps,  # type: ignore[valid-type]
    overwrite: Overwrite = False,
) -> None:
    """Edit sample photographs of scikit-learn and scikit-image with the bundled model, each in two ways."""
    samples = installed_samples()
    if not samples:
        raise EditRealError(
            "expected scikit-learn or scikit-image, whose sample photographs the demo edits, got neither; pip install "
            "scikit-learn scikit-image, or use `edit-real edit` on a photo of yours"
        )
    photos = [open_photo(sample.load()) for sample in samples]
    check_folder(out, photos[0], overwrite=overwrite)
    make_folder(out)
    editor = Editor(announce(load_backbone("bundled")), progress=True)
    for sample, photo in zip(samples, photos, strict=True):
        trajectory = editor.invert(photo, sample.caption, steps=steps)
        write_picture(photo.image, out / f"{sample.name}.png", overwrite=overwrite)
        for word, new_caption in sample.new_captions.items():
            result = editor.edit(trajectory, new_caption, **sample.settings)
            target, sheet, mask = (out / f"{sample.name}-{word}{end}.png" for end in ("", "-sheet", "-mask"))
            write(result, target, sheet, mask, overwrite=overwrite)
            report(result, target)


@command
def web(
    model: Annotated[
        list[str] | None, typer.Option(help="'bundled', a folder or a hub id; repeatable, the first is the default")
    ] = None,
    host: Annotated[str, typer.Option(help="the address to listen at; any but this machine's asks for a password")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="the port", show_default="the first free one from 7860")
    ] = None,
    password: Annotated[
        str | None, typer.Option(envvar="EDIT_REAL_PASSWORD", help="that visitors are asked for", show_envvar=True)
    ] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="let anyone in who can reach the host")] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open the page in your browser")] = True,
) -> None:
    """Serve a page in the browser on which photos are edited."""
    from studio.web.serve import check_door, serve  # Gradio takes its time, and is needed only here

    serve(model or ["bundled"], check_door(host, port, password, no_password=no_password), open_browser=open_browser)


@command
def models() -> None:
    """Say which models there are and what the bundled one knows."""
    from backbones.families import FAMILIES

    backbone = load_backbone("bundled")
    typer.echo(
        f"bundled: {backbone.image_size}x{backbone.image_size} pixels, {backbone.levels.prediction_type}, "
        f"{sum(p.numel() for p in backbone.denoiser.parameters()) / 1e6:.1f} M parameters in the UNet"
    )
    typer.echo("  words it was trained on:")
    for kind, words in backbone.words.items():
        typer.echo(f"    {kind}: {', '.join(words)}")
    typer.echo("any model in safetensors of one of these families:")
    for pipeline, family in FAMILIES.items():
        typer.echo(f"  {family.title} ({pipeline}), guidance {family.guidance_scale:g} by default")
    typer.echo("as")
    typer.echo("  --model FOLDER, a folder in diffusers' layout,")
    typer.echo("  --model FILE.safetensors, a single file; its configuration from the folder FILE beside it or the hub")
    typer.echo("  --model HUB_ID, such as stable-diffusion-v1-5/stable-diffusion-v1-5 (downloaded once)")


def quiet_libraries() -> None:
    """Silences the libraries' own bars and notices: what matters of them is said in our words.

    Those that are not loaded yet read it from the environment when they are, since they take seconds to load.
    """
    disable_progress_bars()
    for library in ("diffusers", "transformers"):
        os.environ.setdefault(f"{library.upper()}_VERBOSITY", "error")
        loaded = sys.modules.get(f"{library}.utils.logging")
        if loaded:
            loaded.set_verbosity_error()


def load_trajectory(context: typer.Context, path: Path, caption: str, photo: Photo) -> Trajectory:
    """A saved inversion of this photo and caption, beside which no option of an inversion is given."""
    check_left_alone(context, "region", *(field.name for field in fields(InversionSettings)))
    saved = Trajectory.load(path)
    saved.check_valid_for(caption=caption, pixel_hash=photo.pixel_hash)
    return saved


def check_left_alone(context: typer.Context, *names: str) -> None:
    """Refuses options that a saved inversion has settled already."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise EditRealError(f"expected no {options} beside --trajectory, which was inverted with its own; leave it out")
