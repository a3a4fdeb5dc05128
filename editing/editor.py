"""`Editor`: one model, photos that are inverted once and edited often."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeVar

from PIL import Image

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.photo import Photo, PhotoSource, open_photo
from backbones.view import View, look_at
from editing.batches import edits_that_fit, in_batches
from editing.captions import check_caption, check_captions
from editing.checks import check_in_region
from editing.closer import Parts, look_closer, look_from_afar
from editing.generated import generate
from editing.make import make_edits
from editing.maps import MAP_LEVELS, MAP_START, look_for_words
from editing.place import Place
from editing.plan import EditPlan, plan_edit
from editing.propose import Proposal, propose_caption
from editing.result import EditResult
from editing.settings import EditSettings, settings_for_each, with_options
from editing.source import Look, Source
from editing.views import look_again
from inversion.invert import check_kept, invert
from inversion.progress import Callback, Progress, progress_of
from inversion.settings import InversionSettings
from inversion.trajectory import Trajectory
from masks.aggregate import AttentionMaps

PHOTOS_KEPT = 4  # of those that an editor inverted, for edits that do not hand them over again
SOURCES_KEPT = 8  # of the trajectories that it edited
ROWS_KEPT = 2  # of them with what further edits need not ask the model for, which takes most of the memory

Key = TypeVar("Key")
Value = TypeVar("Value")


class Editor:
    """Repeated edits with one model. It may be used by several threads; the model serves them one at a time.

    Example:
        >>> editor = Editor(load_backbone("bundled"))
        >>> trajectory = editor.invert("rose.jpg", "a photo of a red rose")
        >>> white = editor.edit(trajectory, "a photo of a white rose")
        >>> tulip = editor.edit(trajectory, "a photo of a red tulip")
    """

    def __init__(
        self, backbone: Backbone, *, progress: bool | Callback | Progress = False, keep_source: bool | float = True
    ) -> None:
        """Keeps to one model.

        Args:
            backbone: The model.
            progress: Of everything that it does, as in `edit_real`.
            keep_source: Whether what the model holds of a photo is looked at once, in batches, and kept for the last
                two trajectories, of each for the photo and for the last two parts that were looked at closer, so that
                edits take two rows a step instead of three. True allows each of these a quarter of the memory that is
                free, a number so many bytes. It changes no edit by more than the last bits.

        Raises:
            EditRealError: A number of bytes below 0.
        """
        if not keep_source >= 0:
            raise EditRealError(f"expected keep_source to be True, False or a number of bytes, got {keep_source}")
        self.backbone, self.progress = backbone, progress_of(progress)
        self._bytes_kept = None if keep_source is True else float(keep_source)
        self._photos: dict[str, Photo] = {}  # the last few, by their hash
        self._sources: dict[Trajectory, Source] = {}  # the last few
        self._lock = threading.Lock()  # of the two

    def check(
        self,
        caption: str,
        new_caption: str,
        photo_size: tuple[int, int],
        settings: EditSettings | None = None,
        **options: Any,
    ) -> None:
        """Refuses what `edit` would refuse, before any time is spent on an inversion.

        Args:
            caption: What the photo shows.
            new_caption: What it should show.
            photo_size: `(width, height)`, which masks must have.
            settings: Of the edit.
            **options: Instead of or on top of `settings`.

        Raises:
            EditRealError: An empty caption, a word that no caption holds, or a mask that cannot be used.
        """
        plan_edit(
            self.backbone, caption, new_caption, photo_size, with_options(settings or EditSettings(), options), range(1)
        )

    def invert(
        self,
        img: PhotoSource,
        caption: str,
        settings: InversionSettings | None = None,
        *,
        region: tuple[int, int, int, int] | None = None,
        progress: bool | Callback | Progress | None = None,
        **options: Any,
    ) -> Trajectory:
        """Photo -> view -> trajectory. `options` are fields of `InversionSettings`."""
        check_caption(caption, "caption")
        choice = with_options(settings or InversionSettings(), options)
        photo = open_photo(img)
        view = look_at(self.backbone, photo, region)
        trajectory = invert(self.backbone, view, caption, choice, self._told(progress))
        self._remember(self._photos, photo.pixel_hash, photo, PHOTOS_KEPT)
        return trajectory

    def generate(
        self,
        caption: str,
        settings: InversionSettings | None = None,
        *,
        seed: int = 0,
        progress: bool | Callback | Progress | None = None,
        **options: Any,
    ) -> tuple[Trajectory, Photo]:
        """An image from a caption and a seed, with the trajectory that the sampler took to it."""
        check_caption(caption, "caption")
        choice = with_options(settings or InversionSettings(), options)
        trajectory, photo = generate(self.backbone, caption, choice, seed=seed, progress=self._told(progress))
        self._remember(self._photos, photo.pixel_hash, photo, PHOTOS_KEPT)
        return trajectory, photo

    def edit(
        self,
        trajectory: Trajectory,
        new_caption: str,
        settings: EditSettings | None = None,
        *,
        photo: PhotoSource | None = None,
        progress: bool | Callback | Progress | None = None,
        **options: Any,
    ) -> EditResult:
        """One edit of an inverted photo. `options` are fields of `EditSettings`.

        Args:
            trajectory: From `invert`, `generate` or `Trajectory.load`.
            new_caption: What the photo should show.
            settings: Of the edit.
            photo: Only needed where it is not among the last few that this editor has inverted itself.
            progress: Instead of the editor's own.
            **options: Instead of or on top of `settings`.
        """
        given: dict[str, Any] = {"photo": photo, "progress": progress}
        return self.edit_many(trajectory, [new_caption], settings, **given, **options)[0]

    def edit_many(
        self,
        trajectory: Trajectory,
        new_captions: Sequence[str],
        settings: EditSettings | Sequence[EditSettings] | None = None,
        *,
        photo: PhotoSource | None = None,
        batch: int | None = None,
        progress: bool | Callback | Progress | None = None,
        **options: Any,
    ) -> list[EditResult]:
        """Several edits of one inverted photo, which share what does not depend on the new caption.

        Args:
            trajectory: From `invert`, `generate` or `Trajectory.load`.
            new_captions: What the photo should show, one for each edit; none gives no results.
            settings: Shared, or one for each caption.
            photo: Only needed where it is not among the last few that this editor has inverted itself.
            batch: How many edits are sampled at once; None is what fits into the memory that is free. The last
                bits of an edit depend on it.
            progress: Instead of the editor's own.
            **options: Instead of or on top of `settings`.
        """
        check_captions(new_captions)
        choices = settings_for_each(settings, options, len(new_captions))
        view = self._view_of(trajectory, photo)
        plans = [
            plan_edit(self.backbone, trajectory.caption, text, view.photo.size, choice, trajectory.sampled)
            for text, choice in zip(new_captions, choices, strict=True)
        ]
        for plan in plans:
            check_in_region(plan.region.include, view.geometry, "include_mask")
        limit = edits_that_fit(self.backbone, view) if batch is None else batch
        results: list[EditResult] = []
        for some in in_batches(plans, limit):
            told = self._told(progress)
            whole, parts = self._look(trajectory, view, some, told)
            made: dict[EditPlan, EditResult] = {}
            for part, same in parts:
                closer = look_closer(self.backbone, whole, same, part, limit=self._bytes_kept, progress=told)
                made |= zip(same, make_edits(self.backbone, closer, same, told), strict=True)
            results += [made[plan] for plan in some]
        return results

    def mask(
        self,
        trajectory: Trajectory,
        new_caption: str,
        settings: EditSettings | None = None,
        *,
        photo: PhotoSource | None = None,
        may_invert: bool = True,
        progress: bool | Callback | Progress | None = None,
        **options: Any,
    ) -> Image.Image:
        """Where an edit would begin, before any of it is sampled: L, the photo's size; 0 is untouched.

        It is the mask of the old caption's words in the photo, cut, refined and feathered as that of an edit, with
        protected words and masks of yours taken in; a small thing is looked at closer for it. That is the mask of a
        first attempt, unless the new caption adds things, which an edit takes in where the model sees them step by
        step, as it does with `mask_grows` of words that take an old one's place, or has protected words of its own,
        which it takes away. Where a new caption only adds a thing, this one is empty.

        Args:
            trajectory: From `invert`, `generate` or `Trajectory.load`.
            new_caption: What the photo should show.
            settings: Of the edit.
            photo: Only needed where it is not among the last few that this editor has inverted itself.
            may_invert: Whether a small thing may be looked at closer for it where that was not done yet, which takes an
                inversion; without, the mask is as good as the whole photo's maps.
            progress: Instead of the editor's own.
            **options: Instead of or on top of `settings`.

        Raises:
            EditRealError: What `edit` would refuse.
        """
        view = self._view_of(trajectory, photo)
        choice = with_options(settings or EditSettings(), options)
        plan = plan_edit(self.backbone, trajectory.caption, new_caption, view.photo.size, choice, trajectory.sampled)
        check_in_region(plan.region.include, view.geometry, "include_mask")
        told = self._told(progress)
        # As an edit would look, so that its bits are the same whether its mask was asked for before or not.
        whole, [(part, _)] = self._look(trajectory, view, [plan], told)
        if not may_invert and part not in whole.source.parts:
            part = None
        closer = look_closer(self.backbone, whole, [plan], part, limit=self._bytes_kept, progress=told)
        place = Place(plan, closer.source.maps, closer.view, closer.source.outlines)
        return Image.fromarray(place.fine_mask(place.soft_mask()))

    def propose(
        self, img: PhotoSource, *, region: tuple[int, int, int, int] | None = None, **options: Any
    ) -> Proposal | None:
        """A caption of the model's own words for a photo, where it lists them and one helps; see `propose_caption`."""
        photo = open_photo(img)
        return propose_caption(self.backbone, look_at(self.backbone, photo, region), **options)

    def attention(self, trajectory: Trajectory, levels: int = MAP_LEVELS, start: float = MAP_START) -> AttentionMaps:
        """Where the model sees the caption's words in the photo itself, at `levels` noise levels of its trajectory.

        They are those of edits by default; from `start` 0 on they are spread over the whole way from noise to photo.

        Raises:
            EditRealError: The trajectory is of another model.
        """
        self._check(trajectory)
        return look_for_words(self.backbone, trajectory, levels, start)

    def forget(self, trajectory: Trajectory, *, photo: bool = False) -> None:
        """Lets go of what is kept for further edits of a trajectory, and with `photo` of that, whoever needs it."""
        with self._lock:
            self._sources.pop(trajectory, None)
            if photo:
                self._photos.pop(trajectory.pixel_hash, None)

    def _look(
        self, trajectory: Trajectory, view: View, plans: Sequence[EditPlan], progress: Progress
    ) -> tuple[Look, Parts]:
        """The whole photo as far as edits need it, kept for further ones, with the parts that these are made in."""
        with self._lock:
            known = self._sources.get(trajectory)
        limit = self._bytes_kept
        whole, parts = look_from_afar(self.backbone, trajectory, view, plans, known, limit=limit, progress=progress)
        self._remember(self._sources, trajectory, whole.source, SOURCES_KEPT)
        with self._lock:
            for older in list(self._sources)[:-ROWS_KEPT]:
                self._sources[older] = self._sources[older].without_any_rows()
        return whole, parts

    def _view_of(self, trajectory: Trajectory, photo: PhotoSource | None) -> View:
        """The photo that was inverted, as the model saw it; refuses another model or another photo."""
        self._check(trajectory)
        if photo is not None:
            return look_again(trajectory, open_photo(photo))
        with self._lock:
            kept = self._photos.get(trajectory.pixel_hash)
        if kept is None:
            raise EditRealError("expected the photo that was inverted, got none; pass it as photo=...")
        return look_again(trajectory, kept)

    def _check(self, trajectory: Trajectory) -> None:
        """Refuses what is no trajectory, one of another model, or one that is not whole."""
        if not isinstance(trajectory, Trajectory):
            raise EditRealError(
                f"expected a trajectory, got {type(trajectory).__name__}; read a saved one by Trajectory.load(path)"
            )
        trajectory.check_valid_for(fingerprint=self.backbone.fingerprint, dtype=self.backbone.dtype_name)
        check_kept(trajectory)

    def _remember(self, among: dict[Key, Value], key: Key, value: Value, most: int) -> None:
        """Puts a value last among the `most` that are kept."""
        with self._lock:
            among.pop(key, None)
            among[key] = value
            if len(among) > most:
                del among[next(iter(among))]

    def _told(self, progress: bool | Callback | Progress | None) -> Progress:
        return self.progress if progress is None else progress_of(progress)
