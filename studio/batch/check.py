"""Every fault of every row that can be told without editing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from backbones.errors import EditRealError
from backbones.photo import check_photo, open_photo
from editing.checks import check_request
from editing.editor import Editor
from studio.batch.jobs import Fault, Job, Jobs


def find_faults(jobs: Jobs, load_editor: Callable[[], Editor]) -> list[Fault]:
    """The faults of all rows, in order; a row with several is told of the first.

    Photos are read by their heads alone, so that one that is cut short is found when it is edited. Those are decoded
    whose masks or region must fit them.

    Args:
        jobs: From `read_jobs`, with the faults that are known already.
        load_editor: Called once all that needs no model has been seen.
    """
    look = cache(_look)
    faults = {fault.row: fault for fault in jobs.faults}
    faults |= {fault.row: fault for fault in _refused(jobs, lambda job: _check_alone(job, look))}
    sound = Jobs(tuple(job for job in jobs.jobs if job.row not in faults), ())
    if sound.jobs:
        editor = load_editor()
        faults |= {fault.row: fault for fault in _refused(sound, lambda job: _check_words(job, editor))}
    return [faults[row] for row in sorted(faults)]


def _refused(jobs: Jobs, check: Callable[[Job], None]) -> Iterator[Fault]:
    for job in jobs.jobs:
        try:
            check(job)
        except EditRealError as error:
            yield Fault(job.row, job.shown, str(error), job.name)


def _look(path: Path) -> str:
    """Why a photo cannot be used, or nothing; kept, since many rows may have one photo."""
    try:
        check_photo(path)
    except EditRealError as error:
        return str(error)
    return ""


def _check_alone(job: Job, look: Callable[[Path], str]) -> None:
    if reason := look(job.photo):
        raise EditRealError(reason)
    if job.region or job.settings.include_mask is not None or job.settings.exclude_mask is not None:
        check_request(open_photo(job.photo), region=job.region, settings=job.settings)


def _check_words(job: Job, editor: Editor) -> None:
    without_masks = {"include_mask": None, "exclude_mask": None}  # which were looked at with the photo
    editor.check(job.caption, job.new_caption, (1, 1), job.settings, **without_masks)
