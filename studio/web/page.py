"""The page: where everything stands and which button calls which action."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from backbones.errors import EditRealError
from studio.web import words
from studio.web.actions import STRONGEST, Actions, Asked, Shown, told
from studio.web.brush import fit
from studio.web.form import PRESETS, Field, form_fields, preset_of, preset_values
from studio.web.history import PHOTO
from studio.web.visit import FORMATS, Slider, Visit, Visits

HERE = Path(__file__).parent
WEIGHTS = 6  # sliders for new words
PHASES = {
    "invert": "Looking at the photo",
    "null-text": "Learning to follow it",
    "look": "Finding what the words name",
    "edit": "Editing",
}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUIET: dict[str, Any] = {**PRIVATE, "queue": False}
UNREAD: dict[str, Any] = {**QUIET, "preprocess": False}  # as it stands, since Gradio refuses what is half typed
AT_THE_MODEL: dict[str, Any] = {
    "api_visibility": "private",
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "show_progress": "full",
    "trigger_mode": "once",
}
UNSEEN: dict[str, Any] = {**AT_THE_MODEL, "show_progress": "hidden", "trigger_mode": "always_last"}


def url_of(path: Path) -> str:
    """Where the browser gets a visit's picture."""
    return f"gradio_api/file={path}"


class Page:
    """The layout and its wires.

    Args:
        actions: What the buttons do.
        visits: Whose turn it is, by the session that Gradio tells.
        pictures: Titles and small pictures of the examples.
        door: Whether programs may come in, see docs/page.md.
    """

    def __init__(
        self, actions: Actions, visits: Visits, pictures: Sequence[tuple[str, Path]] = (), *, door: bool = False
    ) -> None:
        self.actions, self.visits, self.pictures = actions, visits, tuple(pictures)
        self.fields = form_fields()
        with gr.Blocks(title="edit-real", analytics_enabled=False, delete_cache=(600, 3600)) as self.blocks:
            self._lay_out()
            self._wire()
            if door:
                self._open_door()

    # Layout, in the order in which it is read

    def _lay_out(self) -> None:
        gr.HTML(_HEADER, elem_id="top")
        with gr.Column(elem_id="desk"):
            with gr.Column(elem_id="stage-area"):
                self._lay_out_stage()
            with gr.Column(elem_id="steps"):
                self._lay_out_steps()
            with gr.Column(elem_id="outcome", visible=False) as self.outcome:
                self._lay_out_outcome()
            with gr.Accordion("Advanced", open=False, elem_id="advanced"):
                self._lay_out_form()

    def _lay_out_stage(self) -> None:
        self.other = gr.UploadButton("Another photo", size="sm", file_types=["image"], elem_id="another", visible=False)
        # Out of sight, and clicked by the page itself.
        self.mask_file = gr.UploadButton("Load mask", file_types=["image"], elem_id="mask-file")
        self.file = gr.DownloadButton("Fetch", elem_id="file")
        with gr.Column(elem_id="drop-area") as self.drop_area:
            self.photo_file = gr.File(label="Photo", show_label=False, file_types=["image"], elem_id="photo-file")
            self.examples = gr.HTML(
                _examples(self.pictures),
                elem_id="examples",
                visible=bool(self.pictures),
                js_on_load=_STRIP_JS,
                apply_default_css=False,
            )
        self.stage = gr.HTML(
            "",
            html_template=(HERE / "stage.html").read_text(encoding="utf-8"),
            js_on_load=(HERE / "stage.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            elem_id="stage",
            visible=False,
            photo="",
            size=[1, 1],
            mask="",
            shots=[],
            heat=[],
            current=0,
            view="mask",
            turn="",
        )

    def _lay_out_steps(self) -> None:
        self.caption = gr.Textbox(
            label="What does the photo show?",
            placeholder="a photo of a red rose",
            info="A few plain words. Name the thing you want to change.",
            lines=1,
            max_lines=3,
            max_length=400,
            elem_id="caption",
        )
        self.proposal = gr.Button("", size="sm", visible=False, elem_id="proposal")
        self.new_caption = gr.Textbox(
            label="What should it show?",
            placeholder="a photo of a white rose",
            info="The same words, but for what changes.",
            lines=1,
            max_lines=3,
            max_length=400,
            elem_id="new-caption",
        )
        self.difference = gr.HTML("", elem_id="difference", js_on_load=_WORDS_JS, apply_default_css=False)
        with gr.Row(elem_id="buttons"):
            self.look = gr.Button("Show the mask", elem_id="look", variant="secondary", scale=2)
            self.edit = gr.Button("Edit", elem_id="edit", variant="primary", scale=3)
            self.cancel = gr.Button("Cancel", elem_id="cancel", variant="stop", visible=False, scale=1)
        self.note = gr.HTML("", elem_id="note", apply_default_css=False)
        self.weights = [  # below the buttons, which must not move away while somebody aims at them
            gr.Slider(
                0,
                STRONGEST,
                2.0,
                step=0.1,
                label="",
                visible=False,
                buttons=[],
                elem_id=f"weight-{i}",
                elem_classes="weight",
            )
            for i in range(WEIGHTS)
        ]
        names = [(self.actions.models.title(name), name) for name in self.actions.models.names]
        self.model = gr.Dropdown(names, value=names[0][1], label="Model", elem_id="model", visible=len(names) > 1)
        self.limits = gr.HTML(self._limits(names[0][1]), elem_id="limits", apply_default_css=False)

    def _lay_out_form(self) -> None:
        self.preset = gr.Dropdown(list(PRESETS), value=next(iter(PRESETS)), label="Preset", elem_id="preset")
        self.region = gr.Textbox(
            label="Region",
            info="The part of the photo to work on, as left top right bottom in pixels. Empty: all of it.",
            max_length=40,
            elem_id="region",
        )
        self.widgets = []
        group = ""
        for field in self.fields:
            if field.option.group != group:
                group = field.option.group
                gr.HTML(f"<h2>{escape(group.capitalize())}</h2>", apply_default_css=False)
            self.widgets.append(_widget(field))
            if field.name == "emphasis":
                self.emphasis = self.widgets[-1]

    def _lay_out_outcome(self) -> None:
        self.verdict = gr.HTML("", elem_id="verdict", apply_default_css=False)
        with gr.Row(elem_id="take", visible=False) as self.take:
            self.kind = gr.Dropdown(
                list(FORMATS),
                value="PNG",
                label="Format",
                show_label=False,
                container=False,
                elem_id="format",
                scale=1,
                min_width=110,
            )
            self.recipe = gr.Checkbox(
                True, label="with its settings inside", container=False, elem_id="recipe", scale=2
            )
            self.download = gr.Button("Download", elem_id="download", variant="primary", scale=2, min_width=140)
        self.strip = gr.HTML("", elem_id="strip", js_on_load=_STRIP_JS, apply_default_css=False)
        with gr.Row(elem_id="moves", visible=False) as self.moves:
            self.undo = gr.Button("Undo", size="sm", elem_id="undo", interactive=False)
            self.redo = gr.Button("Redo", size="sm", elem_id="redo", interactive=False)
        with gr.Accordion(
            "The same from a terminal, or in Python", open=False, visible=False, elem_id="elsewhere"
        ) as self.elsewhere:
            self.ways = [
                gr.Textbox(
                    label=label,
                    lines=2,
                    max_lines=24,
                    interactive=False,
                    buttons=["copy"],
                    elem_id=elem_id,
                    elem_classes="code",
                )
                for label, elem_id in (("Command line", "command-line"), ("Python", "python"))
            ]
            gr.HTML(
                "<p class='hint'>Painted masks stand inside the downloaded file; "
                "<code>edit-real recall FILE --masks .</code> writes them beside it.</p>"
            )

    # Wires

    def _wire(self) -> None:
        fields = [self.caption, self.new_caption, self.model, self.region, *self.widgets]
        asked = [self.stage, *fields]
        everything = [
            self.drop_area, self.stage, self.caption, self.new_caption, self.difference, *self.weights, *self.widgets,
            self.note, self.outcome, self.verdict, self.strip, self.undo, self.redo, self.look, self.edit, self.cancel,
            self.take, self.moves, self.other, self.region, self.model, self.elsewhere, self.proposal, self.preset,
            *self.ways,
        ]  # fmt: skip
        for source in (self.photo_file, self.other):
            opened = source.upload(self._opened, [source, self.caption], [*everything, self.photo_file], **PRIVATE)
            opened.then(self._proposed, [self.caption, self.model], self.proposal, **UNSEEN)
        both = [self.caption, self.new_caption, self.proposal]
        self.proposal.click(self._accepted, self.new_caption, both, **QUIET)
        self.examples.pick(self._example, None, everything, **PRIVATE)
        live = [self.difference, *self.weights]
        changes = [box.change for box in fields]
        gr.on(changes, self._typed, fields, [self.stage, *live], trigger_mode="always_last", **UNREAD)
        for number, slider in enumerate(self.weights):
            slider.input(self._turning(number), slider, trigger_mode="always_last", **UNREAD)
        # In the browser, since an answer from here could come when something is typed already.
        self.caption.blur(None, [self.caption, self.new_caption], self.new_caption, js=_COPY_JS)
        protected = self.difference.protect(self._protected, fields, live, **UNREAD)
        for changed in (protected.then, self.stage.input):
            changed(self._looked_again, asked, self.stage, **UNSEEN)
        self.model.change(self._limits, self.model, self.limits, **PRIVATE)
        self.model.change(self._proposed, [self.caption, self.model], self.proposal, **UNSEEN)
        chosen = [self.preset.select, self.preset.change]  # by mouse, the same one again as well, and by keyboard
        gr.on(chosen, self._preset, self.preset, self.widgets, trigger_mode="always_last", **QUIET)
        for button, run in ((self.look, self._looked), (self.edit, self._edited)):
            started = button.click(self._started, None, [self.look, self.edit, self.cancel, self.note], **QUIET)
            done = started.then(run, asked, everything, show_progress_on=self.note, **AT_THE_MODEL)
            done.failure(self._not_begun, None, [self.look, self.edit, self.cancel, self.note], **QUIET)
            done.then(fn=None, js=_SCROLL_JS)
            self.cancel.click(self._cancelled, None, everything, cancels=[done], **QUIET)
        self.new_caption.submit(js="() => document.querySelector('#edit').click()", fn=None)
        self.strip.pick(self._picked, None, everything, **QUIET)
        self.undo.click(self._undone, None, everything, **QUIET)
        self.redo.click(self._redone, None, everything, **QUIET)
        self.mask_file.upload(self._mask_loaded, self.mask_file, [*everything, self.mask_file], **PRIVATE)
        saved = self.stage.save(
            self._mask_saved, asked, [self.file, self.note], show_progress_on=self.note, **AT_THE_MODEL
        )
        taken = self.download.click(self._downloaded, [self.kind, self.recipe], [self.file, self.note], **PRIVATE)
        for ready in (saved, taken):
            ready.success(fn=None, js=_FETCH_JS)
        self.blocks.unload(self._left)

    def _open_door(self) -> None:
        """Endpoints for programs; on the page their parts are not to be seen."""
        photo, settings = gr.File(visible=False), gr.JSON(visible=False)
        caption, new_caption, model = (gr.Textbox(visible=False) for _ in range(3))
        file, verdict = gr.File(visible=False), gr.JSON(visible=False)
        shared: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        asked = [photo, caption, new_caption, settings, model]
        gr.Button(visible=False).click(self._edit_for_program, asked, [file, verdict], api_name="edit", **shared)
        gr.Button(visible=False).click(self._mask_for_program, asked, file, api_name="mask", **shared)

    def _edit_for_program(
        self, request: gr.Request, photo: str, caption: str, new_caption: str, settings: Any, model: str
    ) -> tuple[str, dict[str, Any]]:
        """Edits a photo: the edit as a PNG file, and its figures and warnings.

        `settings` are those of docs/reference.md by name, `model` is one of those given at the start.
        """
        with _plainly():
            edit, path = self.actions.edit_file(
                self._visit(request), photo, caption, new_caption, settings or {}, model or None
            )
        return str(path), {"metrics": words.finite(edit.metrics), "warnings": list(edit.warnings)}

    def _mask_for_program(
        self, request: gr.Request, photo: str, caption: str, new_caption: str, settings: Any, model: str
    ) -> str:
        """Where an edit would begin, as a PNG file of the photo's size; arguments are those of `edit`."""
        with _plainly():
            return str(
                self.actions.mask_file(self._visit(request), photo, caption, new_caption, settings or {}, model or None)
            )

    def _visit(self, request: gr.Request) -> Visit:
        if not request.session_hash:
            raise gr.Error("expected a session; open the page, or use gradio_client")
        with _plainly():
            return self.visits.of(str(request.session_hash))

    def _opened(self, request: gr.Request, path: str | None, caption: str) -> dict[Any, Any]:
        visit = self._visit(request)
        if path is None:
            return {}
        shown = told(lambda: self.actions.open(visit, path, caption=caption))
        return {**self._show(visit, shown), self.photo_file: None}

    def _example(self, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        visit = self._visit(request)
        return self._show(visit, told(lambda: self.actions.open_example(visit, int(event.number))))

    def _typed(self, request: gr.Request, *values: Any) -> list[Any]:
        visit, asked = self._visit(request), self._asked(["", *values])
        stage = gr.update(mask="") if self.actions.is_stale(visit, asked) else gr.skip()
        return [stage, *self._words(visit, asked)]

    def _words(self, visit: Visit, asked: Asked) -> list[Any]:
        """The words that differ, and the sliders of the new ones.

        Those that show it already are left alone: the answer may come when somebody has moved one meanwhile.
        """
        shown = list(visit.sliders.items())
        emphasis = asked.form[self.widgets.index(self.emphasis)]
        typed = self.actions.typed(visit, asked.caption, asked.new_caption, asked.model, emphasis)
        same = list(typed.sliders.items()) == shown
        return [typed.difference, *([gr.skip()] * WEIGHTS if same else _sliders(typed.sliders))]

    def _preset(self, name: str | None) -> list[Any]:
        return [gr.skip()] * len(self.widgets) if name is None else preset_values(name)

    def _turning(self, number: int) -> Callable[..., None]:
        def turned(request: gr.Request, weight: float | None) -> None:
            self.actions.turn(self._visit(request), number, weight)

        return turned

    def _protected(self, request: gr.Request, event: gr.EventData, *values: Any) -> list[Any]:
        visit = self._visit(request)
        visit.toggle_protection(str(event.word))
        return self._words(visit, self._asked(["", *values]))

    def _proposed(self, request: gr.Request, caption: str, model: str) -> Any:
        visit = self._visit(request)
        found = None if caption.strip() else self.actions.propose(visit, model)
        visit.proposed = found or ""
        return gr.update(visible=found is not None, value=f"Use “{found}”, which the model sees")

    def _accepted(self, request: gr.Request, new_caption: str) -> list[Any]:
        proposed = self._visit(request).proposed
        return [proposed, new_caption if new_caption.strip() else proposed, gr.update(visible=False)]

    def _limits(self, name: str) -> str:
        """What a model knows, folded away."""
        shown = told(lambda: Shown(self.actions.models.limits(name)))
        title = escape(self.actions.models.title(name))
        summary = f"<summary>What this model knows: {title}</summary>"
        return f"<details>{summary}<p class='hint'>{escape(shown.note)}</p></details>"

    def _started(self, request: gr.Request) -> list[Any]:
        visit = self._visit(request)
        visit.start()
        visit.awaited = object()
        return [
            gr.update(visible=False),
            gr.update(visible=False),
            gr.update(visible=True),
            words.note("Waiting for the model"),
        ]

    def _not_begun(self, request: gr.Request) -> list[Any]:
        """Gradio has refused a field's value or another visitor itself, and says so in a corner of the page."""
        with suppress(gr.Error):
            self._visit(request).awaited = None
        shown = "Nothing was done; the message in the corner says why. Nothing is lost: try again."
        seen, unseen = gr.update(visible=True), gr.update(visible=False)
        return [seen, seen, unseen, words.note(shown, "refused")]

    def _cancelled(self, request: gr.Request) -> dict[Any, Any]:
        visit = self._visit(request)
        visit.cancel()
        return self._show(visit, Shown("Stopped. Nothing is lost: go on whenever you like."))

    def _looked(self, request: gr.Request, progress: gr.Progress = gr.Progress(), *values: Any) -> dict[Any, Any]:
        return self._run(self.actions.look, values, request, progress)

    def _edited(self, request: gr.Request, progress: gr.Progress = gr.Progress(), *values: Any) -> dict[Any, Any]:
        return self._run(self.actions.edit, values, request, progress)

    def _run(
        self, action: Callable[..., Shown], values: Sequence[Any], request: gr.Request, progress: gr.Progress
    ) -> dict[Any, Any]:
        visit = self._visit(request)
        run = visit.awaited
        shown = told(lambda: action(visit, self._asked(values), _tell(progress)))
        if visit.awaited is run:  # else it was cancelled, and another may be asked for
            visit.awaited = None
        return self._show(visit, shown)

    def _looked_again(self, request: gr.Request, *values: Any) -> Any:
        mask = self.actions.look_again(self._visit(request), self._asked(values))
        return gr.skip() if mask is None else gr.update(mask=url_of(mask))

    def _picked(self, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        visit = self._visit(request)
        return self._show(visit, told(lambda: self.actions.go(visit, int(event.number))))

    def _undone(self, request: gr.Request) -> dict[Any, Any]:
        visit = self._visit(request)
        return self._show(visit, told(lambda: self.actions.undo(visit)))

    def _redone(self, request: gr.Request) -> dict[Any, Any]:
        visit = self._visit(request)
        return self._show(visit, told(lambda: self.actions.redo(visit)))

    def _mask_loaded(self, request: gr.Request, path: str | None) -> dict[Any, Any]:
        visit = self._visit(request)
        if path is None:
            return {}
        return {**self._show(visit, told(lambda: self.actions.load_mask(visit, path))), self.mask_file: None}

    def _mask_saved(self, request: gr.Request, progress: gr.Progress = gr.Progress(), *values: Any) -> list[Any]:
        visit = self._visit(request)
        visit.start()
        return self._file(lambda: self.actions.save_mask(visit, self._asked(values), _tell(progress)))

    def _downloaded(self, request: gr.Request, kind: str, recipe: bool) -> list[Any]:
        visit = self._visit(request)
        notes: list[str] = []
        file, refused = self._file(lambda: self.actions.download(visit, kind, recipe=recipe, tell=notes.append))
        return [file, refused or words.note(" ".join(notes))]

    @staticmethod
    def _file(make: Callable[[], Path]) -> list[Any]:
        made: list[Path] = []

        def action() -> Shown:
            made.append(make())
            return Shown()

        shown = told(action)
        return [str(made[0]) if made else None, words.note(shown.note, shown.kind)]

    def _left(self, request: gr.Request) -> None:
        self.visits.leave(str(request.session_hash))

    def _asked(self, values: Sequence[Any]) -> Asked:
        strokes, caption, new_caption, model, region, *form = values
        return Asked(str(caption or ""), str(new_caption or ""), strokes or "", model, form, str(region or ""))

    # What the page shows

    def _show(self, visit: Visit, shown: Shown) -> dict[Any, Any]:
        """The whole page after an action."""
        edit = visit.history.shown
        updates: dict[Any, Any] = {
            self.drop_area: gr.update(visible=visit.photo is None),
            self.stage: self._stage(visit, shown),
            self.note: words.note(shown.note, shown.kind),
            self.outcome: gr.update(visible=bool(visit.history.edits)),
            self.take: gr.update(visible=edit is not None),
            self.elsewhere: gr.update(visible=edit is not None),
            **dict(zip(self.ways, self.actions.ways(visit), strict=True)),
            self.moves: gr.update(visible=bool(visit.history.edits)),
            self.other: gr.update(visible=visit.photo is not None),
            self.verdict: words.verdict(edit.metrics, edit.warnings) + words.measures(edit.metrics) if edit else "",
            self.strip: _strip(visit),
            self.undo: gr.update(interactive=visit.history.can_undo),
            self.redo: gr.update(interactive=visit.history.can_redo),
        }
        if visit.awaited is None:
            updates |= {self.look: gr.update(visible=True), self.edit: gr.update(visible=True)}
            updates |= {self.cancel: gr.update(visible=False)}
        if shown.caption is not None and shown.new_caption is not None:
            model = shown.model or self.actions.models.names[0]
            emphasis = None if shown.form is None else shown.form[self.widgets.index(self.emphasis)]
            typed = self.actions.typed(visit, shown.caption, shown.new_caption, model, emphasis)
            updates |= {
                self.caption: shown.caption,
                self.new_caption: shown.new_caption,
                self.difference: typed.difference,
            }
            updates |= dict(zip(self.weights, _sliders(typed.sliders), strict=True))
        if shown.caption is not None or shown.strokes is not None:
            updates[self.proposal] = gr.update(visible=False)
        for box, value in ((self.region, shown.region), (self.model, shown.model)):
            if value is not None:
                updates[box] = value
        if shown.form is not None:
            updates |= dict(zip(self.widgets, shown.form, strict=True))
            updates[self.preset] = preset_of(shown.form)
        return updates

    def _stage(self, visit: Visit, shown: Shown) -> Any:
        if visit.photo is None:
            return gr.HTML(visible=False)
        shots = [{"label": "Photo", "url": url_of(visit.preview)}]
        shots += [
            {"label": f"Edit {e.number}: {e.request.new_caption}", "url": url_of(e.preview)}
            for e in visit.history.edits
        ]
        edit = visit.history.shown
        current = 0 if edit is None else 1 + visit.history.edits.index(edit)
        props: dict[str, Any] = {
            "visible": True,
            "photo": url_of(visit.preview),
            "size": list(fit(visit.photo.size)),
            "shots": shots,
            "current": current,
            "heat": [{"word": word, "url": url_of(path)} for word, path in edit.heat] if edit else [],
            "turn": uuid4().hex,
        }
        if shown.strokes is not None:
            props["value"] = shown.strokes
        if shown.mask is not None or shown.strokes is not None:
            props["mask"] = url_of(shown.mask) if shown.mask else ""
        if shown.view is not None:
            props["view"] = shown.view
        return gr.update(**props)


def _widget(field: Field) -> Any:
    about: dict[str, Any] = {"label": field.label, "info": field.info, "elem_id": f"set-{field.name.replace('_', '-')}"}
    value = field.show(field.default)
    if field.widget == "slider":
        return gr.Slider(
            field.option.least,
            field.option.most,
            value,
            step=0.005 if field.name == "feather" else 0.05,
            buttons=[],
            **about,
        )
    if field.widget == "number":
        whole = field.option.kind.name == "whole"  # bounds are for the settings to tell, in a sentence
        return gr.Number(value, precision=0 if whole else None, **about)
    if field.widget == "switch":
        return gr.Checkbox(value, **about)
    if field.widget == "choice":
        return gr.Dropdown(field.choices(), value=value, **about)
    return gr.Textbox(value, lines=1, max_lines=1, **about)


def _sliders(sliders: dict[str, Slider]) -> list[Any]:
    """Updates of the sliders for new words; those that are not needed are put away."""
    used = [
        gr.update(visible=True, label=f"Strength of “{word}”", value=weight, minimum=least, maximum=most)
        for word, (weight, least, most) in list(sliders.items())[:WEIGHTS]
    ]
    return used + [gr.update(visible=False)] * (WEIGHTS - len(used))


def _strip(visit: Visit) -> str:
    """The photo and its edits as a row of buttons."""
    items = [(PHOTO, visit.preview, "Photo")]
    items += [(edit.number, edit.thumbnail, edit.request.new_caption) for edit in visit.history.edits]
    buttons = "".join(
        _thumbnail(number, path, text, f" aria-pressed='{str(number == visit.history.current).lower()}'")
        for number, path, text in items
    )
    return f"<ol class='strip'>{buttons}</ol>"


def _examples(pictures: Sequence[tuple[str, Path]]) -> str:
    items = "".join(_thumbnail(number, path, title) for number, (title, path) in enumerate(pictures))
    which = "this one" if len(pictures) == 1 else "one of these"
    return f"<p class='hint'>No photo at hand? Start with {which}.</p><ol class='strip'>{items}</ol>"


def _thumbnail(number: int, path: Path, text: str, more: str = "") -> str:
    return (
        f"<li><button type='button' data-number='{number}'{more}>"
        f"<img src='{escape(url_of(path), quote=True)}' alt=''><span>{escape(text)}</span></button></li>"
    )


@contextmanager
def _plainly() -> Iterator[None]:
    """What is refused reaches a program as one sentence."""
    try:
        yield
    except EditRealError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _tell(progress: gr.Progress) -> Callable[[str, int, int], None]:
    def tell(phase: str, done: int, total: int) -> None:
        progress((done, total), desc=PHASES.get(phase, phase), unit="steps")

    return tell


_HEADER = (
    "<header><h1>edit-real</h1>"
    "<p>Change a photo by changing its caption. What the words leave alone stays as it was.</p></header>"
)
_WORDS_JS = """element.addEventListener('click', (event) => {
  const word = event.target.closest('button.word');
  if (word) trigger('protect', { word: word.dataset.word });
});"""
_STRIP_JS = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-number]');
  if (button) trigger('pick', { number: Number(button.dataset.number) });
});"""
_COPY_JS = "(caption, changed) => changed && changed.trim() ? changed : caption"
_SCROLL_JS = """() => { if (window.innerWidth <= 900) document.querySelector('#stage')?.scrollIntoView(); }"""
_FETCH_JS = """() => { const link = document.querySelector('#file a, a#file, #file'); if (link) link.click(); }"""
