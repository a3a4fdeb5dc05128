"""What came of a row."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backbones.errors import EditRealError
from backbones.reading import reason_of

NO_ROW_CAN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}
"""Errors of a file system that the next row would meet as well."""


class StoppedError(EditRealError):
    """No further row can be written, such as on a full disk."""


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
    """
    if isinstance(error, OSError):
        return Outcome(row, None, reason=str(error))
    if isinstance(error, EditRealError):
        return Outcome(row, key, reason=str(error))
    trace = "".join(traceback.format_exception(error))
    if type(error).__name__ == "OutOfMemoryError":
        reason = "the model needs more memory than is free; give a region, fewer workers or another device"
        return Outcome(row, None, reason=reason, trace=trace)
    return Outcome(row, key, reason=f"an unexpected {type(error).__name__}: {reason_of(error)}", trace=trace)


def failed_to_write(row: int, error: Exception, *, full: bool) -> Outcome:
    """The outcome of a row that could not be written.

    Args:
        row: Its number.
        error: What was raised.
        full: Whether there is no room where it should have gone, which codecs do not tell.

    Raises:
        StoppedError: No further row could be written either.
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
