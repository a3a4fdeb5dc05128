"""The edits of one photo, in the order in which they were made, and the way through them."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """What a history holds: things with a number of their own."""

    @property
    def number(self) -> int: ...


Entry = TypeVar("Entry", bound=Numbered)

PHOTO = 0
"""The number that stands for the photo itself."""


class History(Generic[Entry]):
    """Edits, which of them is shown, and where undo and redo lead.

    Making an edit and going to one are moves. Undo takes back a move and loses no edit.
    """

    def __init__(self) -> None:
        self.edits: list[Entry] = []
        self.current = PHOTO
        self._past: list[int] = []
        self._future: list[int] = []

    def add(self, edit: Entry) -> None:
        """A new edit, which is shown from now on."""
        self.edits.append(edit)
        self.go(edit.number)

    def go(self, number: int) -> None:
        """Shows an edit, or the photo, unless it is gone."""
        if number != self.current and (number == PHOTO or self.get(number)):
            self._past.append(self.current)
            self._future.clear()
            self.current = number

    def undo(self) -> None:
        self._step(self._past, self._future)

    def redo(self) -> None:
        self._step(self._future, self._past)

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    @property
    def shown(self) -> Entry | None:
        """The edit that is shown; None where it is the photo."""
        return self.get(self.current)

    def get(self, number: int) -> Entry | None:
        return next((edit for edit in self.edits if edit.number == number), None)

    def drop_oldest(self) -> Entry:
        """Forgets the oldest edit that is not shown, and returns it."""
        oldest = next(edit for edit in self.edits if edit.number != self.current)
        self.edits.remove(oldest)
        for way in (self._past, self._future):
            way[:] = [number for number in way if number != oldest.number]
        return oldest

    def _step(self, away: list[int], back: list[int]) -> None:
        if away:
            back.append(self.current)
            self.current = away.pop()
