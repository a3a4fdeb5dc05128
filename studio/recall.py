"""A recipe as text: what the edit was, and what is typed to make it again."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

from PIL import Image

from backbones.option import described
from backbones.saving import make_folder, write_picture
from editing.recipe import Recipe
from editing.settings import EditSettings, InversionSettings
from studio.options import typed_option

SOMEWHERE = "PATH/TO/"
"""Before the name of a model's folder or file, of which a recipe has no more."""


def describe(recipe: Recipe) -> str:
    """A recipe in lines that people read."""
    lines = {
        "the photo shows": recipe.caption,
        "the edit shows": recipe.new_caption,
        "model": recipe.model,
        "made by": f"edit-real {recipe.version}",
    }
    if recipe.seed is not None:
        lines["generated"] = f"from the seed {recipe.seed}"
    if recipe.region is not None:
        lines["region"] = " ".join(map(str, recipe.region))
    if recipe.dtype is not None:
        lines["dtype"] = recipe.dtype
    lines |= {name: str(value) for name, value in recipe.settings.items()}
    lines |= dict.fromkeys(recipe.masks, "a picture of yours (--masks FOLDER writes it)")
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())


def command_line(recipe: Recipe, photo: str = "photo.jpg", out: str = "edit.png", masks: Path = Path()) -> str:
    """The `edit-real edit` that makes an edit again, quoted for a POSIX shell.

    Args:
        recipe: Of an edit of a photo; what was generated cannot be made by the command line, and a comment says so.
        photo: The photo's file.
        out: Where the edit goes.
        masks: The folder that `write_masks` has written to.
    """
    if recipe.seed is not None:
        return "# a generated picture has no photo to name; use the Python"
    options = ["-o", out]
    if recipe.model != "bundled":
        options += ["--model", _model(recipe)]
    if recipe.dtype is not None:
        options += ["--dtype", recipe.dtype]
    if recipe.region is not None:
        options += ["--region", *map(str, recipe.region)]
    for name, value in {**recipe.settings, **_mask_files(recipe, masks)}.items():
        home = InversionSettings if name in described(InversionSettings) else EditSettings
        options += typed_option(home, name, value)
    words = [photo, recipe.caption, recipe.new_caption]
    # What begins with a dash would be taken for an option before "--".
    dashed = any(word.startswith("-") for word in words)
    line = shlex.join(["edit-real", "edit", *([*options, "--", *words] if dashed else [*words, *options])])
    return "\n".join([*_note(recipe), line])


def python_code(recipe: Recipe, photo: str = "photo.jpg", out: str = "edit.png", masks: Path = Path()) -> str:
    """A script that makes an edit again; arguments are those of `command_line`."""
    function = "edit_real" if recipe.seed is None else "edit_generated"
    named: dict[str, Any] = {} if recipe.seed is None else {"seed": recipe.seed}
    if recipe.model != "bundled":
        named["model"] = _model(recipe)
    if recipe.region is not None:
        named["region"] = recipe.region
    named |= {**recipe.settings, **_mask_files(recipe, masks)}
    given = [repr(photo)] if recipe.seed is None else []
    given += [repr(recipe.caption), repr(recipe.new_caption)]
    given += [f"{name}={value!r}" for name, value in named.items()]
    given += [] if recipe.dtype is None else [f"dtype=torch.{recipe.dtype}"]
    return "\n".join(
        [
            *_note(recipe),
            *([] if recipe.dtype is None else ["import torch", ""]),
            f"from editing import {function}",
            "",
            f"result = {function}(",
            *(f"    {one}," for one in given),
            ")",
            f"result.save({out!r})",
        ]
    )


def _model(recipe: Recipe) -> str:
    """What is typed for the model; a hub id has a slash, and stays."""
    return recipe.model if recipe.model == "bundled" or "/" in recipe.model else SOMEWHERE + recipe.model


def _note(recipe: Recipe) -> list[str]:
    """A comment, in either language, where a path is to be put in."""
    name, typed = recipe.model, _model(recipe)
    return [] if typed == name else [f"# the model was a folder or a file called {name!r}; put its path for {typed!r}"]


def write_masks(recipe: Recipe, folder: Path, *, overwrite: bool = False) -> None:
    """Writes the masks that an edit was given as PNG files, which `command_line` and `python_code` name.

    Raises:
        EditRealError: They cannot be written, or one exists.
    """
    make_folder(folder)
    for name, file in _mask_files(recipe, folder).items():
        with Image.open(io.BytesIO(recipe.masks[name])) as mask:
            write_picture(mask, file, overwrite=overwrite)


def _mask_files(recipe: Recipe, folder: Path) -> dict[str, str]:
    return {name: str(folder / f"{name.replace('_', '-')}.png") for name in recipe.masks}
