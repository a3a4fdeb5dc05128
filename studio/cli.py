"""`edit-real`: which commands there are; what one needs is imported when it is called, so that help comes at once."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "edit": "Edit PHOTO, which shows CAPTION, into NEW_CAPTION.",
    "invert": "Invert PHOTO once and save it, for `edit --trajectory`.",
    "attention": "Show where the model sees each word of CAPTION in PHOTO.",
    "features": "Show what the layers of the model's decoder hold of PHOTO, as colours.",
    "mask": "Show where an edit of PHOTO from CAPTION to NEW_CAPTION would begin, as a mask to look at or paint on.",
    "compare": "Edit PHOTO and inpaint it with the same words: pictures, figures and a page with a slider.",
    "propose": "Propose a caption for PHOTO, of words that the model lists: a guess, and for most photos none.",
    "recall": "Say how FILE, a picture that edit-real wrote, was made, and print what makes it again.",
    "batch": "Edit many photos by a list of jobs, each exactly once: folders, a ledger and a contact sheet.",
    "demo": "Edit sample photographs of scikit-learn and scikit-image with the bundled model, each in two ways.",
    "web": "Serve a page in the browser on which photos are edited.",
    "models": "Say which models there are and what the bundled one knows.",
}
"""The functions of `studio.commands` and what their docstrings say."""


class LateCommand(TyperCommand):
    """Stands for the command of its name until that is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        from studio.commands import commands, quiet_libraries

        quiet_libraries()
        command = typer.main.get_group(commands).commands[str(self.name)]
        return command.make_context(info_name, args, parent, **extra)


class LateCommands(TyperGroup):
    """The commands of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in COMMANDS.items():
            self.add_command(LateCommand(name, help=text))


app = typer.Typer(cls=LateCommands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def print_version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        from editing import __version__

        typer.echo(f"edit-real {__version__}")
        raise typer.Exit


@app.callback()
def edit_real(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Edit a photo by changing its caption; what the words do not change stays exactly as it was."""


def main() -> None:
    """Entry point: what the user can put right is one sentence, not a traceback."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    try:
        app()
    except ValueError as error:
        from backbones.errors import EditRealError

        if not isinstance(error, EditRealError):
            raise
        typer.echo(f"edit-real: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
