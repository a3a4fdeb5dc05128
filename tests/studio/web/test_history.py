from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from studio.web.history import PHOTO, History


@dataclass(frozen=True)
class Entry:
    number: int


def history(count: int) -> History[Entry]:
    made: History[Entry] = History()
    for number in range(1, count + 1):
        made.add(Entry(number))
    return made


def test_undo_and_redo_lead_back_and_forth_and_lose_no_edit() -> None:
    one = history(2)
    one.undo()
    assert one.current == 1 and one.can_redo
    one.undo()
    assert one.current == PHOTO and not one.can_undo and one.shown is None
    one.redo()
    one.redo()
    assert one.current == 2 and not one.can_redo
    assert [edit.number for edit in one.edits] == [1, 2]


def test_going_to_an_edit_is_a_move_that_undo_takes_back() -> None:
    one = history(3)
    one.go(1)
    one.undo()
    assert one.current == 3
    one.go(99)
    assert one.current == 3


@given(st.lists(st.sampled_from(["add", "go", "undo", "redo", "drop"]), max_size=40), st.data())
def test_what_is_shown_is_always_there(moves: list[str], data: st.DataObject) -> None:
    one, count = history(1), 1
    for move in moves:
        if move == "add":
            count += 1
            one.add(Entry(count))
        elif move == "go":
            one.go(data.draw(st.integers(0, count)))
        elif move == "drop" and len(one.edits) > 1:
            one.drop_oldest()
        elif move in ("undo", "redo"):
            getattr(one, move)()
        assert one.current == PHOTO or one.shown is not None
