"""What each button of the page does, in terms of a visit; what it shows afterwards is a `Shown`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backbones.errors import EditRealError
from editing.captions import check_caption
from editing.recipe import Recipe, read_recipe
from editing.settings import MASKS, EditSettings, InversionSettings, split_settings
from studio.recall import command_line, python_code
from studio.samples import Sample
from studio.web import words
from studio.web.brush import Strokes
from studio.web.form import read_form, shown_values
from studio.web.models import Models
from studio.web.visit import Edit, Request, Slider, Visit
from studio.web.watched import Cancelled, Tell

log = logging.getLogger("edit-real")

STRONGEST = 4.0  # of a word's weight on the page, unless an edit that came back has more
STOPPED = "Stopped. Nothing is lost: go on whenever you like."
BROKEN = "Something went wrong here, and it is not your fault. Nothing is lost; try again, or with other settings."


@dataclass(frozen=True)
class Asked:
    """What stands in the page's fields.

    Attributes:
        caption: What the photo shows.
        new_caption: What it should show.
        strokes: What is painted, as a data URL.
        model: The chosen one.
        form: The values of the advanced settings, in the order of `form.form_fields`.
        region: Four numbers, or nothing for the whole photo.
    """

    caption: str
    new_caption: str
    strokes: str
    model: str
    form: Sequence[Any]
    region: str = ""


@dataclass(frozen=True)
class Shown:
    """What the page shows after an action; None leaves a field as it is.

    Attributes:
        note: A sentence on what happened.
        kind: Of the note, see `words.note`.
        caption: See `Asked`, like the next three.
        new_caption: The same.
        strokes: The same.
        form: The same.
        region: The same.
        model: The same.
        mask: A picture of the mask, where there is a new one.
        view: `mask` or `compare`, where another is to be looked at.
    """

    note: str = ""
    kind: str = "plain"
    caption: str | None = None
    new_caption: str | None = None
    strokes: str | None = None
    form: Sequence[Any] | None = None
    region: str | None = None
    model: str | None = None
    mask: Path | None = None
    view: str | None = None


@dataclass(frozen=True)
class Typed:
    """The two captions as they stand: the words that differ, as HTML, and sliders for the new ones, by word."""

    difference: str
    sliders: dict[str, Slider]


def told(action: Callable[[], Shown]) -> Shown:
    """What an action shows; a sentence where it was refused, stopped or failed."""
    try:
        return action()
    except Cancelled:
        return Shown(STOPPED)
    except EditRealError as error:
        return Shown(str(error), "refused")
    except Exception:
        log.exception("an action of the page failed")
        return Shown(BROKEN, "refused")


@contextmanager
def _by_its_name(uploaded: Path) -> Iterator[Path]:
    """An uploaded file; errors call it by its name, not by where it lies."""
    try:
        yield uploaded
    except EditRealError as error:
        raise EditRealError(str(error).replace(str(uploaded), uploaded.name)) from error


def _from_json(value: Any) -> Any:
    """A setting's value; JSON knows windows as lists only."""
    if isinstance(value, list) and value and not any(isinstance(part, str) for part in value):
        return tuple(value)
    return {key: _from_json(one) for key, one in value.items()} if isinstance(value, dict) else value


def slider_of(weight: float, emphasis: float) -> Slider:
    """The slider of a word, whose weight may come back to the emphasis."""
    return Slider(weight, min(0.0, weight, emphasis), max(STRONGEST, weight, emphasis))


def read_region(text: str) -> tuple[int, int, int, int] | None:
    """`left top right bottom` in pixels; None where nothing is said.

    Raises:
        EditRealError: It is no such text.
    """
    parts = text.replace(",", " ").split()
    if not parts:
        return None
    if len(parts) != 4 or not all(part.isdecimal() and len(part) < 7 for part in parts):
        raise EditRealError(f"expected a region as four whole numbers, left top right bottom, got {text!r}")
    left, top, right, bottom = map(int, parts)
    return left, top, right, bottom


class Actions:
    """The buttons, over the models of a page."""

    def __init__(self, models: Models, examples: Sequence[Sample] = ()) -> None:
        self.models, self.examples = models, tuple(examples)

    def open(self, visit: Visit, path: str, *, caption: str = "") -> Shown:
        """A file that was handed over: a photo, or an edit with its recipe.

        An edit gives back its words and settings. Dropped a second time, it is taken as a photo itself; so is another
        one that is dropped while an edit waits for its photo, since that may be an edit too.
        """
        notes = []
        with _by_its_name(Path(path)) as uploaded:
            try:
                recipe = read_recipe(uploaded)
            except EditRealError as error:
                if visit.history.edits:
                    raise EditRealError(
                        "this is an edit of another version, whose settings cannot be read; as a photo it would take "
                        "the place of this one and of its edits, so open it in another tab"
                    ) from error
                recipe = None
                notes.append(
                    "It is an edit of another version with settings that cannot be read, so it is a photo now."
                )
            waiting = visit.recalled is not None and visit.photo is None
            if recipe is not None and recipe != visit.recalled and not waiting:
                return self._recall(visit, recipe)
            visit.open(uploaded, uploaded.name)
        awaited = visit.recalled if visit.awaits_photo and recipe != visit.recalled else None
        strokes = visit.strokes_of(awaited) if awaited else None
        form = shown_values(InversionSettings(), EditSettings()) if visit.lent else None
        visit.recalled, visit.awaits_photo, visit.lent = None, False, False
        notes.append("Press Edit, or change the words first." if caption.strip() else "Now say what it shows.")
        return Shown(
            " ".join(notes),
            strokes=strokes.url if strokes else "",
            form=form,
            region=None if awaited else "",
            view="mask",
        )

    def _recall(self, visit: Visit, recipe: Recipe) -> Shown:
        """The words and settings of an edit, for its photo."""
        visit.recalled = recipe
        inversion, settings = split_settings(recipe.settings)
        strokes = visit.strokes_of(recipe)
        visit.awaits_photo, visit.lent = visit.photo is None or strokes is None, False
        offered = {self.models.title(name): name for name in self.models.names}
        visit.bring_back(settings)
        notes = ["This picture was made here, and its words and settings are back."]
        if visit.photo is None:
            notes.append("Now choose the photo that it was made from; or drop it once more to edit the picture itself.")
        elif strokes is None:
            notes.append("Its masks do not fit this photo and are left out.")
        if self.models.title(recipe.model) not in offered:
            notes.append(f"It was made with another model, {self.models.title(recipe.model)}.")
        return Shown(
            " ".join(notes),
            caption=recipe.caption,
            new_caption=recipe.new_caption,
            strokes=strokes.url if strokes else "",
            form=shown_values(inversion, settings),
            region="" if recipe.region is None else " ".join(map(str, recipe.region)),
            model=offered.get(self.models.title(recipe.model)),
        )

    def open_example(self, visit: Visit, number: int) -> Shown:
        """One of the example photos, with its captions."""
        if not 0 <= number < len(self.examples):
            raise EditRealError(f"expected an example from 1 to {len(self.examples)}, got {number + 1}")
        example = self.examples[number]
        visit.open(example.load(), example.name.capitalize())
        visit.recalled, visit.awaits_photo, visit.lent = None, False, bool(example.settings)
        visit.bring_back(EditSettings())
        return Shown(
            "Press Edit, or change the words first.",
            caption=example.caption,
            new_caption=next(iter(example.new_captions.values())),
            strokes="",
            form=self._settings_of(example),
            region="",
            view="mask",
        )

    def _settings_of(self, example: Sample) -> list[Any] | None:
        """What the form shows for an example, in the place of what another brought; None where none brings any."""
        if not any(one.settings for one in self.examples):
            return None
        return shown_values(InversionSettings(), EditSettings(**example.settings))

    def typed(self, visit: Visit, caption: str, new_caption: str, model: str, emphasis: Any = None) -> Typed:
        """The captions as they are typed. What cannot be read yet shows nothing.

        A word's weight that is left alone follows the emphasis; None is the one that it follows already.
        """
        if isinstance(emphasis, (int, float)) and math.isfinite(emphasis):
            visit.emphasis = float(emphasis)
        typed = self._typed(visit, caption, new_caption, model)
        visit.sliders = typed.sliders
        return typed

    def _typed(self, visit: Visit, caption: str, new_caption: str, model: str) -> Typed:
        if not (caption.strip() and new_caption.strip()):
            return Typed("", {})
        try:
            alignment = words.align(self.models.editor(model).backbone, caption, new_caption)
        except EditRealError as error:
            return Typed(words.note(str(error), "refused"), {})
        weighable = words.weighable(alignment, visit.returned)
        weights = {word: visit.turned.get(word.casefold(), visit.emphasis) for word in weighable}
        sliders = {word: slider_of(weight, visit.emphasis) for word, weight in weights.items()}
        return Typed(words.difference(alignment, visit.protected), sliders)

    def turn(self, visit: Visit, number: int, weight: float | None) -> None:
        """The slider of a word was moved; where it is back at the emphasis it follows that again.

        What a slider shows does not tell, since one whose emphasis has just changed may still show the old one. What is
        typed beyond its ends is taken as the end, as the browser does once the field is left; nothing as 0.
        """
        if not 0 <= number < len(visit.sliders):
            return
        word, slider = list(visit.sliders.items())[number]
        weight = min(max(float(weight or 0), slider.least), slider.most)
        visit.sliders = {**visit.sliders, word: slider._replace(weight=weight)}
        if weight == visit.emphasis:
            visit.turned.pop(word.casefold(), None)
        else:
            visit.turned[word.casefold()] = weight

    def is_stale(self, visit: Visit, asked: Asked) -> bool:
        """Whether the mask that the page shows is one of other words or settings; once said, there is none.

        Strokes do not count, since the mask follows them.
        """
        shown = visit.masked
        if shown is None:
            return False
        with suppress(EditRealError):  # such as a setting that is half typed
            if replace(self.request(visit, asked), strokes=shown.strokes) == shown:
                return False
        visit.masked = None
        return True

    def request(self, visit: Visit, asked: Asked) -> Request:
        """What is asked, read and checked.

        Raises:
            EditRealError: A setting that does not fit.
        """
        inversion, settings = read_form(asked.form)
        if asked.caption.strip() and asked.new_caption.strip():
            alignment = words.align(self.models.editor(asked.model).backbone, asked.caption, asked.new_caption)
            present = {word.key for caption in (alignment.source, alignment.target) for word in caption.words}
            weighable = words.weighable(alignment, visit.returned)
            weights = {word: visit.turned[key] for word in weighable if (key := word.casefold()) in visit.turned}
            protected = tuple(word for word in visit.protected if word.casefold() in present)
            settings = replace(settings, reweight=weights, protect_words=protected)
        return Request(
            asked.caption,
            asked.new_caption,
            inversion,
            settings,
            Strokes(asked.strokes or ""),
            asked.model,
            read_region(asked.region),
        )

    def propose(self, visit: Visit, model: str) -> str | None:
        """A caption in the model's own words, where one stands out."""
        try:
            return visit.propose(self.models.editor(model))
        except EditRealError:  # of the photo, or of the model: told when an edit is asked for
            return None

    def look(self, visit: Visit, asked: Asked, tell: Tell) -> Shown:
        """Inverts the photo and shows where the edit would begin."""
        request = self.request(visit, asked)
        mask = visit.look(self.models.editor(asked.model), request, tell)
        visit.masked = request
        if mask is None:
            return Shown("The photo is ready. Change a word in the second field, and the mask will show.", view="mask")
        return Shown("Lit is what the edit will reach. Paint to add or protect, or press Edit.", mask=mask, view="mask")

    def look_again(self, visit: Visit, asked: Asked) -> Path | None:
        """The mask as it is after a stroke or a protected word, where that takes no inversion; None where it does."""
        try:
            request = self.request(visit, asked)
            if not visit.is_inverted(request):
                return None
            visit.start()
            visit.masked = request
            return visit.look(self.models.editor(asked.model), request, lambda *_: None, may_invert=False)
        except (Cancelled, EditRealError):  # what is wrong will be told when an edit is asked for
            return None

    def edit(self, visit: Visit, asked: Asked, tell: Tell) -> Shown:
        """Edits the photo."""
        edit = visit.edit(self.models.editor(asked.model), self.request(visit, asked), tell)
        visit.masked = edit.request
        return Shown("Done.", "done", mask=edit.mask, view="compare")

    def go(self, visit: Visit, number: int) -> Shown:
        """Goes back to an edit, or to the photo, with all that it was made with, to go on from there."""
        visit.history.go(number)
        return self._arrived(visit)

    def undo(self, visit: Visit) -> Shown:
        visit.history.undo()
        return self._arrived(visit)

    def redo(self, visit: Visit) -> Shown:
        visit.history.redo()
        return self._arrived(visit)

    def load_mask(self, visit: Visit, path: str) -> Shown:
        """A mask from a file, in place of what is painted."""
        with _by_its_name(Path(path)) as uploaded:
            strokes = visit.read_strokes(uploaded)
        return Shown("The mask is loaded: the edit will keep to it.", strokes=strokes.url, view="mask")

    def save_mask(self, visit: Visit, asked: Asked, tell: Tell) -> Path:
        """A file of the mask."""
        return visit.mask(self.models.editor(asked.model), self.request(visit, asked), tell)

    def download(
        self, visit: Visit, kind: str, *, recipe: bool = True, tell: Callable[[str], object] | None = None
    ) -> Path:
        """A file of the edit that is shown; `tell` takes what it does not keep."""
        return visit.save(self._edit(visit), kind, recipe=recipe, tell=tell)

    def ways(self, visit: Visit) -> tuple[str, str]:
        """The edit that is shown as a command line and as Python; empty where there is none."""
        edit = visit.history.shown
        if edit is None:
            return "", ""
        recipe, out = edit.recipe.shareable(), f"{visit.name} {edit.number}.png"
        return command_line(recipe, visit.file_name, out), python_code(recipe, visit.file_name, out)

    def edit_file(
        self, visit: Visit, path: str, caption: str, new_caption: str, settings: Mapping[str, Any], model: str | None
    ) -> tuple[Edit, Path]:
        """An edit for a program, and its file. The same photo is inverted once, however often it is handed over.

        Raises:
            EditRealError: What cannot be edited.
        """
        request = self._asked_by_program(visit, path, caption, new_caption, settings, model)
        edit = visit.edit(self.models.editor(request.model), request, lambda *_: None)
        return edit, visit.save(edit)

    def mask_file(
        self, visit: Visit, path: str, caption: str, new_caption: str, settings: Mapping[str, Any], model: str | None
    ) -> Path:
        """The mask that the same edit would begin with, as a file."""
        request = self._asked_by_program(visit, path, caption, new_caption, settings, model)
        return visit.mask(self.models.editor(request.model), request, lambda *_: None)

    def _asked_by_program(
        self, visit: Visit, path: str, caption: str, new_caption: str, settings: Any, model: str | None
    ) -> Request:
        if not isinstance(path, str) or not path:
            raise EditRealError("expected a photo, got none; pass handle_file('rose.jpg')")
        if not isinstance(settings, Mapping):
            raise EditRealError(f"expected settings by name, {{'emphasis': 3}}, got {settings!r}")
        if named := [name for name in MASKS if settings.get(name) is not None]:  # no path is taken from text
            raise EditRealError(f"expected no {named[0]} here; paint masks on the page, or use the Python package")
        check_caption(caption)
        check_caption(new_caption, "new caption")
        with _by_its_name(Path(path)) as uploaded:
            visit.take(uploaded)
        visit.start()
        inversion, edit = split_settings({name: _from_json(value) for name, value in settings.items()})
        return Request(caption, new_caption, inversion, edit, model=model or self.models.names[0])

    def _edit(self, visit: Visit) -> Edit:
        edit = visit.history.shown
        if edit is None:
            raise EditRealError("there is no edit to download yet; make one, or choose one from the strip")
        return edit

    def _arrived(self, visit: Visit) -> Shown:
        edit = visit.history.shown
        if edit is None:
            return Shown(view="mask")
        request = edit.request
        visit.bring_back(request.settings)
        visit.masked = request
        return Shown(
            caption=request.caption,
            new_caption=request.new_caption,
            strokes=request.strokes.url,
            form=shown_values(request.inversion, request.settings),
            region="" if request.region is None else " ".join(map(str, request.region)),
            model=request.model,
            mask=edit.mask,
            view="compare",
        )
