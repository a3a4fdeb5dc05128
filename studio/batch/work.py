"""What one process does: photos are read, edited and written, each while the model is at work on another."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import torch
from PIL import Image

from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.photo import Photo, check_photo, open_photo
from backbones.saving import write_picture
from editing.checks import check_request
from editing.editor import Editor
from editing.result import EditResult
from studio.batch.jobs import Job
from studio.batch.key import Maker, content_key, file_hash, mask_hashes
from studio.batch.outcome import Outcome, failed, failed_to_write
from studio.batch.store import Store, open_store
from studio.output import read_dtype

# What the model holds of a photo may take so many bytes: one number everywhere, since an edit's last bits depend on it.
KEPT = 2**30
MOST_ROWS = 32  # of one photo in a group; more are shared out among workers, for one more inversion
PENDING = 2  # edits that wait to be written, each with its photo in memory
THUMBNAIL, QUALITY = 400, 82  # longer side in pixels, and JPEG quality


@dataclass(frozen=True)
class Setup:
    """What every process of a run needs to know.

    Attributes:
        out: The folder or address of the results.
        model: `bundled`, a folder or a hub id.
        device: Where it runs; None is the best there is.
        dtype: Of its network, by name; None is what suits the device.
        threads: Of each process. An edit's last bits depend on it.
        suffix: Of the images, such as `.png`.
        sheet: Whether each result has a sheet.
        failures: Reason and trace of rows that failed before and are left alone, by their results' names.
    """

    out: str
    model: str = "bundled"
    device: str | None = None
    dtype: str | None = None
    threads: int = 1
    suffix: str = ".png"
    sheet: bool = False
    failures: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Jobs that share an inversion: of one photo, one caption, one region, one way to invert and to go back."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Desk:
    """A process that is ready to work."""

    setup: Setup
    editor: Editor
    store: Store
    maker: Maker


@dataclass(frozen=True)
class Pending:
    """A row to edit.

    Attributes:
        job: What it asks.
        key: Its result's name.
        masks: The hashes of its masks, of which the name is made.
    """

    job: Job
    key: str
    masks: Mapping[str, str]


@dataclass(frozen=True)
class Opened:
    """A group that was read.

    Attributes:
        settled: Outcomes that need no model: rows that are done, and rows that cannot be.
        pending: The other rows.
        photo: Theirs; None where there are none.
        photo_hash: Of the photo's file.
    """

    settled: Sequence[Outcome] = ()
    pending: Sequence[Pending] = ()
    photo: Photo | None = None
    photo_hash: str = ""


def group_jobs(jobs: Sequence[Job]) -> list[Group]:
    """Jobs that share an inversion together, at most `MOST_ROWS`, in the order of the first of each."""
    shared: dict[Any, list[Job]] = {}
    for job in jobs:
        shared.setdefault((job.photo, job.caption, job.inversion, job.region, job.settings.exact), []).append(job)
    return [
        Group(tuple(same[start : start + MOST_ROWS]))
        for same in shared.values()
        for start in range(0, len(same), MOST_ROWS)
    ]


def edit_groups(desk: Desk, groups: Iterable[Group]) -> Iterator[Outcome]:
    """The outcome of every row, as soon as it is settled.

    Edits are sampled one by one: in a batch, an edit's last bits would depend on what else is in it.

    Args:
        desk: From `at_desk`.
        groups: Taken one ahead of the work.

    Raises:
        StoppedError: No further row can be written, or the device fails this process.
    """
    source, waiting = iter(groups), deque[Future[Outcome]]()
    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def read_next() -> Opened | None:
        return next((open_group(desk, group) for group in source), None)

    try:
        upcoming = reader.submit(read_next)
        while True:
            if not upcoming.done():  # whoever hands out groups may wait to hear of these
                yield from _settle(waiting, left=0)
            if (opened := upcoming.result()) is None:
                break
            upcoming = reader.submit(read_next)
            yield from opened.settled
            for row, result in edit_group(desk, opened):
                if isinstance(result, Outcome):
                    yield result
                else:
                    waiting.append(writer.submit(write_row, desk, row, opened.photo_hash, result))
                    yield from _settle(waiting, left=PENDING)
        yield from _settle(waiting, left=0)
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # the next group may come only once an error is heard of
        writer.shutdown()


def _settle(waiting: deque[Future[Outcome]], *, left: int) -> Iterator[Outcome]:
    """Outcomes that are there already, and as many more as leave no more than `left` waiting."""
    while waiting and (len(waiting) > left or waiting[0].done()):
        yield waiting.popleft().result()


@contextmanager
def at_desk(setup: Setup) -> Iterator[Desk]:
    """Loads the model.

    Raises:
        EditRealError: The model or the results' folder cannot be used.
    """
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(setup.threads)
    cv2.setNumThreads(setup.threads)
    try:
        backbone = load_backbone(setup.model, setup.device, read_dtype(setup.dtype))
        own = {name: getattr(backbone, name) for name in ("guidance_scale", "mask_spread", "trust")}
        maker = Maker(backbone.fingerprint, own, backbone.dtype_name, setup.suffix, setup.sheet)
        yield Desk(setup, Editor(backbone, keep_source=KEPT), open_store(setup.out), maker)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def open_group(desk: Desk, group: Group) -> Opened:
    """Reads a group's photo, unless every row is settled without its pixels."""
    settled: list[Outcome] = []
    pending: list[Pending] = []
    path = group.jobs[0].photo
    try:
        check_photo(path)
        before, hashed = path.stat(), file_hash(path, "a photo")
    except Exception as error:
        return Opened([failed(job.row, None, error) for job in group.jobs])
    for job in group.jobs:
        try:
            masks = mask_hashes(job)
            key = content_key(job, hashed, masks, desk.maker)
            if record := desk.store.record(key):
                settled.append(Outcome(job.row, key, record, before=True))
            elif key in desk.setup.failures:
                reason, trace = desk.setup.failures[key]
                settled.append(Outcome(job.row, key, reason=reason, trace=trace, before=True))
            else:
                pending.append(Pending(job, key, masks))
        except Exception as error:
            settled.append(failed(job.row, None, error))
    if not pending:
        return Opened(settled)
    try:
        photo = open_photo(path)
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise EditRealError(f"expected {path} to stay as it is, but it was changed while it was read; run again")
    except Exception as error:
        return Opened([*settled, *(failed(row.job.row, None, error) for row in pending)])
    return Opened(settled, pending, photo, hashed)


def edit_group(desk: Desk, opened: Opened) -> Iterator[tuple[Pending, EditResult | Outcome]]:
    """Every edit of a group by one inversion, or why there is none.

    Raises:
        DeviceError: The device fails this process.
    """
    photo, editor, fit = opened.photo, desk.editor, []
    if photo is None:
        return
    for row in opened.pending:
        job = row.job
        try:
            check_request(photo, region=job.region, settings=job.settings)
            editor.check(job.caption, job.new_caption, photo.size, job.settings)
            fit.append(row)
        except Exception as error:
            yield row, refused(row, error)
    if not fit:
        return
    first = fit[0].job
    try:
        trajectory = editor.invert(photo, first.caption, first.inversion, region=first.region)
    except Exception as error:
        yield from ((row, refused(row, error)) for row in fit)
        return
    for row in fit:
        try:
            result: EditResult | Outcome = editor.edit(trajectory, row.job.new_caption, row.job.settings, photo=photo)
            if not masks_stand(row):
                raise EditRealError("expected the row's masks to stay as they are, but one was changed; run again")
        except Exception as error:
            result = refused(row, error)
        yield row, result
    editor.forget(trajectory)  # so that the next photo finds as much memory free as this one did


def refused(row: Pending, error: Exception) -> Outcome:
    """The outcome of a row that raised an error, which is remembered only where it was of the masks in its name."""
    return failed(row.job.row, row.key if masks_stand(row) else None, error)


def masks_stand(row: Pending) -> bool:
    """Whether a row's masks are what they were when it got its name."""
    try:
        return mask_hashes(row.job) == row.masks
    except EditRealError:
        return False


def write_row(desk: Desk, row: Pending, hashed: str, result: EditResult) -> Outcome:
    """Writes an edit's files; the outcome says that they are there.

    Raises:
        StoppedError: No further row can be written.
    """
    try:
        record = describe(desk, row, hashed, result)
        with desk.store.publish(row.key, record) as folder:
            result.save(folder / f"image{desk.setup.suffix}")
            write_picture(result.mask, folder / "mask.png")
            if desk.setup.sheet:
                write_picture(result.sheet(), folder / "sheet.png")
            write_thumbnail(result.photo.image, result.photo, folder / "before.jpg")
            write_thumbnail(result.image, result.photo, folder / "after.jpg")
    except Exception as error:
        return failed_to_write(row.job.row, error, full=desk.store.full())
    return Outcome(row.job.row, row.key, record)


def describe(desk: Desk, row: Pending, hashed: str, result: EditResult) -> dict[str, Any]:
    """What `result.json` says: nothing that depends on when, where and how fast it was made."""
    return {
        "key": row.key,
        "version": desk.maker.version,
        "model": desk.setup.model,
        "fingerprint": desk.maker.fingerprint,
        "dtype": desk.maker.dtype,
        "photo": {"sha256": hashed, "size": list(result.photo.size)},
        "region": for_json(row.job.region),
        "settings": for_json({**result.settings, **row.masks}),
        "metrics": for_json(result.metrics),
        "warnings": list(result.warnings),
        "image": f"image{desk.setup.suffix}",
        "sheet": "sheet.png" if desk.setup.sheet else None,
    }


def for_json(value: Any) -> Any:
    """Something that JSON has; numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(key): for_json(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(for_json, value))
    if isinstance(value, list | tuple):
        return [for_json(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def write_thumbnail(image: Image.Image, photo: Photo, path: Path) -> None:
    """A small JPEG for the contact sheet."""
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.info = {}
    small.save(path, "JPEG", quality=QUALITY, icc_profile=photo.icc_profile or b"")
