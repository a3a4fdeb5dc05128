"""What came of a row."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2

from backbones.errors import EditRealError
from backbones.reading import reason_of

NO_ROW_CAN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}
"""Errors of a file system that the next row would meet as well."""


SHORT = ("out of memory", "allocate memory", "insufficient memory", "not enough memory")
"""What libraries say, in errors of no kind of their own, where memory runs out."""


class StoppedError(EditRealError):
    """No further row can be written, such as on a full disk."""


class DeviceError(StoppedError):
    """A graphics card fails all that this process asks of it from now on; another process may go on."""


@dataclass(frozen=True)
class Outcome:
    """A row that is done, or the reason why not.

    Attributes:
        row: Its number.
        key: Its result's name, where it came as far as having one.
        record: What its `result.json` says, where it is done.
        reason: One sentence, where it is not.
        trace: Of an error that is no fault of the user's.
        before: Whether an earlier run did it, or failed.
    """

    row: int
    key: str | None = None
    record: dict[str, Any] | None = None
    reason: str = ""
    trace: str = ""
    before: bool = False

    @property
    def done(self) -> bool:
        return self.record is not None


def failed(row: int, key: str | None, error: Exception) -> Outcome:
    """The outcome of a row that raised an error.

    What the machine was short of says nothing of the row, which has no key then, so that the next run tries it again.

    Raises:
        DeviceError: It is the device's, which no row would be done on any more.
    """
    if isinstance(error, OSError):
        return Outcome(row, None, reason=str(error))
    if isinstance(error, EditRealError):
        return Outcome(row, key, reason=str(error))
    trace = "".join(traceback.format_exception(error))
    if _short_of_memory(error):
        reason = "the model needs more memory than is free; give a region, fewer workers or another device"
        return Outcome(row, None, reason=reason, trace=trace)
    if _of_device(error):
        raise DeviceError(
            f"the graphics card failed at row {row} ({reason_of(error)}); if it does so again, leave that row out"
        ) from error
    return Outcome(row, key, reason=f"an unexpected {type(error).__name__}: {reason_of(error)}", trace=trace)


def _short_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | cv2.error) and any(sign in str(error).lower() for sign in SHORT)


def _of_device(error: Exception) -> bool:
    """Whether it is one of CUDA's own, after which its context does nothing more."""
    kind = type(error).__name__
    return kind == "AcceleratorError" or (isinstance(error, RuntimeError) and str(error).startswith("CUDA error"))


def failed_to_write(row: int, error: Exception, *, full: bool) -> Outcome:
    """The outcome of a row that could not be written.

    Args:
        row: Its number.
        error: What was raised.
        full: Whether there is no room where it should have gone, which codecs do not tell.

    Raises:
        StoppedError: No further row could be written either.
        DeviceError: It is the device's.
    """
    codes = {errno.ENOSPC} if full else NO_ROW_CAN.intersection(_codes(error))
    if codes:
        raise StoppedError(f"{error}: {REMEDIES.get(min(codes), 'see to the disk')}") from error
    return failed(row, None, error)


REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in your quota",
    errno.EROFS: "make the folder writable",
}


def _codes(error: BaseException | None) -> Iterator[int]:
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            yield error.errno
        error = error.__cause__ or error.__context__
