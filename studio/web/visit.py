"""One visitor's photo, inversions and edits. Nothing here knows of a page."""

from __future__ import annotations

import dataclasses
import re
import shutil
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from PIL import Image

from backbones.errors import EditRealError
from backbones.photo import Photo, PhotoSource, open_photo
from backbones.saving import write_picture
from editing.captions import check_caption
from editing.checks import check_request
from editing.editor import Editor
from editing.pictures.overlay import overlay_heat
from editing.recipe import Recipe
from editing.result import EditResult
from editing.settings import MASKS, EditSettings, InversionSettings
from inversion.trajectory import Trajectory
from masks.user_mask import lightness, read_mask
from studio.web.brush import SIDE, Strokes, fit
from studio.web.history import History
from studio.web.watched import Cancelled, Tell, Watched

EDITS_KEPT = 24
INVERSIONS_KEPT = 4
PASSING_KEPT = 24  # of the files that a visitor downloads, and of masks that were only looked at
THUMBNAIL = 200  # pixels
HEAT_SIDE = 420
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tiff"}
"""Formats to download in, with their endings."""


@dataclass(frozen=True)
class Request:
    """All that is asked of one edit.

    Attributes:
        caption: What the photo shows.
        new_caption: What it should show.
        inversion: Settings of the inversion.
        settings: Of the edit, without masks.
        strokes: What is painted, which becomes the masks.
        model: By its name.
        region: The part of the photo to work on.
    """

    caption: str
    new_caption: str
    inversion: InversionSettings = dataclasses.field(default_factory=InversionSettings)
    settings: EditSettings = dataclasses.field(default_factory=EditSettings)
    strokes: Strokes = dataclasses.field(default_factory=Strokes)
    model: str = "bundled"
    region: tuple[int, int, int, int] | None = None

    def settings_for(self, photo_size: tuple[int, int]) -> EditSettings:
        """The settings with the masks that the strokes stand for."""
        add, protect = self.strokes.masks(photo_size)
        return dataclasses.replace(self.settings, include_mask=add, exclude_mask=protect)


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit that was made: small pictures for the page, and on disk what a download needs.

    Attributes:
        number: Counted from 1.
        request: What was asked.
        preview: A picture of it for the page.
        thumbnail: A smaller one.
        mask: The mask for the page, white on transparent.
        heat: Words of the caption and pictures of where the model sees them, those that changed first.
        metrics: See `EditResult`.
        warnings: The same.
    """

    number: int
    request: Request
    preview: Path
    thumbnail: Path
    mask: Path
    heat: tuple[tuple[str, Path], ...]
    metrics: dict[str, float]
    warnings: tuple[str, ...]
    _image: Path
    _mask: Path
    _rest: EditResult

    def result(self) -> EditResult:
        """The result as the editor gave it, but for its heat maps; pixels are read back from the disk, bit for bit."""
        add, protect = self.request.strokes.masks(self._rest.photo.size)
        return dataclasses.replace(
            self._rest,
            image=_load(self._image),
            mask=_load(self._mask),
            settings={**self._rest.settings, "include_mask": add, "exclude_mask": protect},
        )

    @property
    def recipe(self) -> Recipe:
        return self._rest.recipe

    def files(self) -> list[Path]:
        """And the folder of the full-size ones."""
        return [self.preview, self.thumbnail, self.mask, self._image.parent, *(path for _, path in self.heat)]


class Slider(NamedTuple):
    """The weight of a word, and the ends that its slider has."""

    weight: float
    least: float
    most: float


class Visit:
    """What one visitor has on the server.

    Args:
        folder: Of its own, for its files; it is made, and removed by `close`.
        ended: Whether an earlier visit from the same page was over and its photo gone.
    """

    def __init__(self, folder: Path, *, ended: bool = False) -> None:
        folder.mkdir(mode=0o700)
        self.folder, self.used, self._ended = folder, time.monotonic(), ended
        self.photo: Photo | None = None
        self.name, self.file_name, self.preview = "photo", "photo.png", Path()
        self.recalled: Recipe | None = None  # of an edit's picture that was dropped
        self.awaits_photo = False  # whether that came before its photo, which its masks and its region are for
        self.lent = False  # whether the form shows settings that an example brought
        self.protected: tuple[str, ...] = ()
        self.sliders: dict[str, Slider] = {}  # what the page shows of the weights, by word
        self.turned: dict[str, float] = {}  # weights by casefolded word, set by hand or in an edit that came back
        self.returned: tuple[str, ...] = ()  # the words of the latter, new ones or not
        self.emphasis = float(EditSettings.emphasis)  # what it shows for those that are left alone
        self.masked: Request | None = None  # what the mask is of that it shows
        self.proposed = ""  # a caption that the model has found
        self.history: History[Edit] = History()
        self._inversions: OrderedDict[Any, tuple[Editor, Trajectory]] = OrderedDict()  # with who made them
        self.awaited: object | None = None  # stands for the run that the page waits for, in the line or at the model
        self._count = 0
        self._stop, self._busy = threading.Event(), threading.Lock()
        self._swap = threading.Lock()  # of the photo with its history
        self._keeping = threading.Lock()  # of the inversions
        self._passing: deque[Path] = deque()  # files that are needed for a while

    def open(self, source: PhotoSource, name: str = "photo") -> None:
        """A new photo, with nothing done to it yet; what runs for the one before is stopped, and the words stay.

        Raises:
            EditRealError: It cannot be read; then all stays as it was.
        """
        self._begin(_read(source), name)

    def take(self, path: Path) -> None:
        """The same of an uploaded file; with the photo that is there already nothing is lost."""
        photo = _read(path)
        if self.photo is None or photo.pixel_hash != self.photo.pixel_hash:
            self._begin(photo, path.name)

    def _begin(self, photo: Photo, name: str) -> None:
        preview = page_picture(photo.image, self.folder, SIDE, profile=photo.icc_profile)
        self.cancel()
        self.start()
        with self._swap:
            for edit in self.history.edits:
                self._forget(edit)
            self.photo, self.name, self.file_name = photo, _plain_name(name), _file_name(name)
            self.preview, self.masked = preview, None
            self.history, self._count = History(), 0
            self._forget_inversions()

    def start(self) -> None:
        """Something new is asked for, which an earlier wish to stop does not concern."""
        self._stop = threading.Event()

    def cancel(self) -> None:
        """Stops what runs at its next step, and what is asked for before the next `start`."""
        self._stop.set()
        self.awaited = None

    def toggle_protection(self, word: str) -> None:
        """A word of the captions that must not change, or may again."""
        kept = tuple(other for other in self.protected if other.casefold() != word.casefold())
        self.protected = kept if len(kept) < len(self.protected) else (*kept, word)

    def bring_back(self, settings: EditSettings) -> None:
        """The words that are protected or weighed in an edit."""
        self.protected, self.returned = tuple(settings.protect_words), tuple(settings.reweight)
        self.turned = {word.casefold(): weight for word, weight in settings.reweight.items()}

    def look(self, editor: Editor, request: Request, tell: Tell, *, may_invert: bool = True) -> Path | None:
        """Inverts the photo, unless that is done, and says where an edit would begin.

        With `may_invert=False` a small thing is looked at closer only where that was done before.

        Returns:
            A picture of the mask for the page; None where the captions do not differ.

        Raises:
            EditRealError: What `edit` would refuse.
            Cancelled: It was stopped.
        """
        with self._running(tell) as (photo, watched):
            check_caption(request.caption)
            if not request.new_caption.strip() or request.new_caption.split() == request.caption.split():
                self._invert(editor, photo, request, watched)
                return None
            mask = self._mask(editor, photo, request, watched, may_invert=may_invert)
            return self._for_a_while(self._mask_picture(mask))

    def propose(self, editor: Editor) -> str | None:
        """A caption that the model finds for the photo; None where it is not sure, or has no words of its own."""
        photo = self._photo()
        with self._busy:
            found = editor.propose(photo)
        return None if found is None or self.photo is not photo else found.caption

    def is_inverted(self, request: Request) -> bool:
        """Whether the photo needs no inversion for this."""
        return self.photo is not None and self._key(self.photo, request) in self._inversions

    def edit(self, editor: Editor, request: Request, tell: Tell) -> Edit:
        """Inverts the photo, unless that is done, and edits it.

        Raises:
            EditRealError: What cannot be edited; nothing is changed.
            Cancelled: It was stopped; the same.
        """
        with self._running(tell) as (photo, watched):
            settings = request.settings_for(photo.size)
            editor.check(request.caption, request.new_caption, photo.size, settings)
            trajectory = self._invert(editor, photo, request, watched)
            result = editor.edit(trajectory, request.new_caption, settings, photo=photo, progress=watched)
            return self._add(self._keep(result, request), photo)

    def _add(self, edit: Edit, photo: Photo) -> Edit:
        """The edit with its number, in the history of its photo; it is dropped where another photo came meanwhile."""
        with self._swap:
            if self.photo is not photo:
                self._forget(edit)
                raise Cancelled
            self._count += 1
            edit = dataclasses.replace(edit, number=self._count)
            self.history.add(edit)
            if len(self.history.edits) > EDITS_KEPT:
                self._forget(self.history.drop_oldest())
            return edit

    def mask(self, editor: Editor, request: Request, tell: Tell) -> Path:
        """A file of the mask that an edit would begin with, of the photo's size."""
        with self._running(tell) as (photo, watched):
            mask = self._mask(editor, photo, request, watched)
        target = self._for_a_while(self._own_folder()) / f"{self.name} mask.png"
        write_picture(mask, target)
        return target

    def read_strokes(self, source: PhotoSource) -> Strokes:
        """A mask of the photo's size, or of its shape, as strokes: white is added, all else protected.

        Raises:
            EditRealError: There is no photo, or it is no mask of it.
        """
        photo = self._photo()
        mask = lightness(open_photo(source))
        if mask.size != photo.size:
            here, there = photo.size[0] / photo.size[1], mask.size[0] / mask.size[1]
            if abs(here / there - 1) > 0.02:
                raise EditRealError(
                    f"expected a mask of the photo's shape, {photo.size[0]}x{photo.size[1]}, got "
                    f"{mask.size[0]}x{mask.size[1]}; save the mask from here and paint on that"
                )
            mask = mask.resize(photo.size, Image.Resampling.BILINEAR)
        add = read_mask(mask, photo.size)
        return Strokes.of(add, ~add, photo.size)

    def save(
        self, edit: Edit, kind: str = "PNG", *, recipe: bool = True, tell: Callable[[str], object] | None = None
    ) -> Path:
        """A file of an edit, as `EditResult.save` writes it, under a name that a person would give it.

        Args:
            edit: Of this visit.
            kind: One of `FORMATS`.
            recipe: Whether its settings stand inside.
            tell: See `saving.save_photo`.

        Raises:
            EditRealError: A format that there is none of, or one that cannot be written.
        """
        if kind not in FORMATS:
            raise EditRealError(f"expected a format among {', '.join(FORMATS)}, got {kind!r}")
        target = self._for_a_while(self._own_folder()) / f"{self.name} {edit.number}{FORMATS[kind]}"
        edit.result().save(target, recipe=recipe, tell=tell)
        return target

    def strokes_of(self, recipe: Recipe) -> Strokes | None:
        """The masks of a recipe as strokes; None where there are any and they do not fit the photo."""
        masks = {name: read_mask(mask, mask.size) for name, mask in recipe.options().items() if name in MASKS}
        if self.photo is None or any(mask.shape[::-1] != self.photo.size for mask in masks.values()):
            return None if masks else Strokes()
        return Strokes.of(masks.get("include_mask"), masks.get("exclude_mask"), self.photo.size)

    @property
    def is_running(self) -> bool:
        return self._busy.locked()

    def close(self) -> None:
        """Stops what runs and removes all files."""
        self.cancel()
        self.photo = None
        self._forget_inversions()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _running(self, tell: Tell) -> Iterator[tuple[Photo, Watched]]:
        """The photo and a progress that can be stopped, for one run at a time."""
        photo, stop = self._photo(), self._stop
        with self._busy:
            if stop.is_set() or self.photo is not photo:
                raise Cancelled
            yield photo, Watched(tell, stop)

    def _photo(self) -> Photo:
        if self.photo is None and self._ended:
            raise EditRealError("the photo was put away, since the page was left alone for long; choose it again")
        if self.photo is None:
            raise EditRealError("there is no photo yet; choose one, or drop one on the page")
        return self.photo

    def _invert(self, editor: Editor, photo: Photo, request: Request, watched: Watched) -> Trajectory:
        key = self._key(photo, request)
        found = self._inversions.get(key)
        if found is None:
            found = (
                editor,
                editor.invert(photo, request.caption, request.inversion, region=request.region, progress=watched),
            )
        with self._keeping:
            self._inversions[key] = found
            self._inversions.move_to_end(key)
        self._forget_inversions(left=INVERSIONS_KEPT)
        return found[1]

    def _forget_inversions(self, left: int = 0) -> None:
        """All but the last few, here and where they were made."""
        with self._keeping:
            gone = [self._inversions.popitem(last=False)[1] for _ in range(len(self._inversions) - left)]
        for editor, trajectory in gone:
            editor.forget(trajectory, photo=True)

    @staticmethod
    def _key(photo: Photo, request: Request) -> tuple[object, ...]:
        return (photo.pixel_hash, request.caption, request.model, request.inversion, request.region)

    def _mask(
        self, editor: Editor, photo: Photo, request: Request, watched: Watched, *, may_invert: bool = True
    ) -> Image.Image:
        settings = request.settings_for(photo.size)
        editor.check(request.caption, request.new_caption, photo.size, settings)
        trajectory = self._invert(editor, photo, request, watched)
        return editor.mask(
            trajectory, request.new_caption, settings, photo=photo, may_invert=may_invert, progress=watched
        )

    def _keep(self, result: EditResult, request: Request) -> Edit:
        """The edit with its files, not yet numbered."""
        folder, profile = self._own_folder(), result.photo.icc_profile
        image, mask = folder / "image.png", folder / "mask.png"
        result.image.save(image, compress_level=1)
        result.mask.save(mask, compress_level=1)
        rest = dataclasses.replace(
            result,
            image=_NOTHING,
            mask=_NOTHING,
            heat_maps={},
            settings={**result.settings, "include_mask": None, "exclude_mask": None},
        )
        return Edit(
            number=0,
            request=request,
            preview=page_picture(result.image, self.folder, SIDE, profile=profile),
            thumbnail=page_picture(result.image, self.folder, THUMBNAIL, profile=profile),
            mask=self._mask_picture(result.mask),
            heat=tuple(self._heat(result)),
            metrics=result.metrics,
            warnings=tuple(result.warnings),
            _image=image,
            _mask=mask,
            _rest=rest,
        )

    def _heat(self, result: EditResult) -> Iterator[tuple[str, Path]]:
        changed = {word.casefold() for word in result.settings["source_words"]}
        size = fit(result.photo.size, HEAT_SIDE)
        photo = result.photo.image.resize(size, Image.Resampling.BOX)
        for word in sorted(result.heat_maps, key=lambda word: word.casefold() not in changed):
            heat = result.heat_maps[word].resize(size, Image.Resampling.BOX)
            shown = overlay_heat(photo, heat)
            yield word, page_picture(shown, self.folder, HEAT_SIDE, profile=result.photo.icc_profile)

    def _mask_picture(self, mask: Image.Image) -> Path:
        """What lies outside a mask (L) as a veil for the page: white, as opaque as the mask is empty."""
        small = mask.resize(fit(mask.size), Image.Resampling.BILINEAR)
        veil = Image.new("LA", small.size, 255)
        veil.putalpha(Image.fromarray(255 - np.asarray(small)))
        target = self.folder / f"{uuid4().hex}.png"
        veil.save(target)
        return target

    def _own_folder(self) -> Path:
        folder = self.folder / uuid4().hex
        folder.mkdir(mode=0o700)
        return folder

    def _for_a_while(self, path: Path) -> Path:
        """A file or folder that goes once `PASSING_KEPT` others have come after it."""
        self._passing.append(path)
        while len(self._passing) > PASSING_KEPT:
            _remove(self._passing.popleft())
        return path

    @staticmethod
    def _forget(edit: Edit) -> None:
        for path in edit.files():
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_NOTHING = Image.new("L", (1, 1))


def page_picture(image: Image.Image, folder: Path, side: int, *, profile: bytes | None = None) -> Path:
    """A copy for the page, no longer than `side`, under a name that cannot be guessed."""
    target = folder / f"{uuid4().hex}.jpg"
    small = image.convert("RGB").resize(fit(image.size, side), Image.Resampling.LANCZOS)
    small.save(target, quality=93, subsampling=0, icc_profile=profile)
    return target


def _read(source: PhotoSource) -> Photo:
    photo = dataclasses.replace(open_photo(source), path=None)
    check_request(photo)
    return photo


def _load(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


def _plain_name(name: str) -> str:
    """A file's name without its ending and without anything that a file system or a header could mind."""
    stem = re.sub(r"[^\w\- ]+", " ", Path(name.replace("\\", "/")).stem)
    return " ".join(stem.split())[:60].strip() or "photo"


def _file_name(name: str) -> str:
    """The same with its ending, to be shown in a command line."""
    ending = re.sub(r"[^\w]", "", Path(name).suffix)[:8] or "png"
    return f"{_plain_name(name)}.{ending}"


class Visits:
    """The visitors, by a key that each brings.

    Args:
        folder: Where each gets a folder of its own.
        idle: Seconds without a sign of life after which a visit ends.
        left: The same once its page was closed; a phone that only sleeps comes back in that time.
        most: How many there may be.
    """

    def __init__(self, folder: Path, *, idle: float = 3600, left: float = 300, most: int = 64) -> None:
        self._folder, self._idle, self._left_for, self._most = folder, idle, left, most
        self._visits: dict[str, Visit] = {}
        self._left: dict[str, float] = {}
        self._ended: deque[str] = deque(maxlen=1000)  # keys of those that are over
        self._lock = threading.Lock()

    def of(self, key: str) -> Visit:
        """The visit of a key, which begins where there is none.

        Raises:
            EditRealError: There are too many.
        """
        self.sweep()
        with self._lock:
            self._left.pop(key, None)
            if key not in self._visits:
                self._make_room()
                self._visits[key] = Visit(self._folder / uuid4().hex, ended=key in self._ended)
            visit = self._visits[key]
            visit.used = time.monotonic()
            return visit

    def _make_room(self) -> None:
        """Ends the visit without a photo that was longest without a sign of life, where there is no room for another.

        Raises:
            EditRealError: All have a photo.
        """
        if len(self._visits) < self._most:
            return
        empty = [key for key, visit in self._visits.items() if visit.photo is None]
        if not empty:
            raise EditRealError("too many people are here at once; try again in a few minutes")
        oldest = min(empty, key=lambda key: self._visits[key].used)
        self._left.pop(oldest, None)
        self._visits.pop(oldest).close()

    def leave(self, key: str) -> None:
        """The page was closed, or its connection is lost."""
        with self._lock:
            if key in self._visits:
                self._left[key] = time.monotonic()

    def sweep(self) -> None:
        """Ends the visits that are over."""
        now = time.monotonic()
        with self._lock:
            over = [
                key
                for key, visit in self._visits.items()
                if (now - visit.used > self._idle and not visit.is_running)
                or now - self._left.get(key, now) > self._left_for
            ]
            ended = [self._visits.pop(key) for key in over]
            self._ended.extend(key for key, visit in zip(over, ended, strict=True) if visit.photo is not None)
            for key in over:
                self._left.pop(key, None)
        for visit in ended:
            visit.close()

    def close(self) -> None:
        """Ends all visits."""
        with self._lock:
            ended: Sequence[Visit] = [*self._visits.values()]
            self._visits.clear()
            self._left.clear()
        for visit in ended:
            visit.close()

    def __len__(self) -> int:
        return len(self._visits)
