"""A file of jobs for trying batches: small pictures, and rows that cannot be done, in every way there is."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

CAPTION, NEW_CAPTION = "a photo of a red rose", "a photo of a {} rose"
WORDS = ("green", "dog", "cat")
SIDE = 48
COLUMNS = ("photo", "caption", "new_caption", "blend_words", "include_mask", "steps")

Row = dict[str, str]


def _missing(folder: Path, row: Row) -> Row:
    """A photo that is not there."""
    return {**row, "photo": f"missing-{row['photo']}"}


def _truncated(folder: Path, row: Row) -> Row:
    """A photo whose download broke off."""
    content = (folder / row["photo"]).read_bytes()
    (folder / f"short-{row['photo']}").write_bytes(content[: len(content) // 2])
    return {**row, "photo": f"short-{row['photo']}"}


def _fake(folder: Path, row: Row) -> Row:
    """A web page that is called a photo."""
    (folder / f"fake-{row['photo']}").write_text("<html>not found</html>")
    return {**row, "photo": f"fake-{row['photo']}"}


def _bomb(folder: Path, row: Row) -> Row:
    """A small file that claims to be 30000 x 30000 pixels."""
    head = (30000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    chunks = b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    )
    (folder / f"bomb-{row['photo']}").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return {**row, "photo": f"bomb-{row['photo']}"}


def _wrong_option(folder: Path, row: Row) -> Row:
    """An option with a value that it cannot have."""
    return {**row, "steps": "0"}


def _unknown_word(folder: Path, row: Row) -> Row:
    """A word that neither caption holds."""
    return {**row, "blend_words": "tulip"}


def _empty_caption(folder: Path, row: Row) -> Row:
    """No new caption."""
    return {**row, "new_caption": " "}


def _bad_mask(folder: Path, row: Row) -> Row:
    """A mask that is no picture."""
    (folder / "mask.png").write_text("white")
    return {**row, "include_mask": "mask.png"}


def _other_bytes(folder: Path, row: Row) -> Row:
    """A word in Latin-1, as old spreadsheets save it; written so by `write_jobs`."""
    return {**row, "new_caption": "a photo of a ros\udce9 rose"}


def _line_break(folder: Path, row: Row) -> Row:
    """A name with a line break."""
    return {**row, "photo": f"line\n{row['photo']}"}


def _closed_folder(folder: Path, row: Row) -> Row:
    """A photo in a folder that may not be read, or, to root, who may, that is not there."""
    closed = folder / "closed"
    closed.mkdir(exist_ok=True)
    closed.chmod(0)
    return {**row, "photo": f"closed/{row['photo']}"}


WAYS: dict[str, Callable[[Path, Row], Row]] = {
    "missing": _missing,
    "truncated": _truncated,
    "fake": _fake,
    "bomb": _bomb,
    "wrong option": _wrong_option,
    "unknown word": _unknown_word,
    "empty caption": _empty_caption,
    "unreadable mask": _bad_mask,
    "not UTF-8": _other_bytes,
    "line break in a name": _line_break,
    "folder that may not be read": _closed_folder,
}
"""How a row goes wrong, each a function of the folder and a good row."""


def write_jobs(folder: Path, good: int, bad: int, *, steps: int = 2) -> Path:
    """Writes `jobs.csv` and its pictures, with the bad rows spread over the good ones and `WAYS` taken in turn.

    Args:
        folder: An empty one.
        good: Rows that can be done: up to three of each picture.
        bad: Rows that cannot; each is made from the good row before it.
        steps: Of every row.
    """
    rows: list[Row] = []
    for number in range(good):
        row = _good_row(folder, number, steps)
        rows.append(row)
        for index in range(number * bad // good, (number + 1) * bad // good):
            rows.append(list(WAYS.values())[index % len(WAYS)](folder, row))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "jobs.csv"
    path.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
    return path


def _good_row(folder: Path, number: int, steps: int) -> Row:
    name = f"{number // len(WORDS)}.png"
    if not (folder / name).exists():
        levels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(levels).save(folder / name)
    word = WORDS[number % len(WORDS)]
    return {"photo": name, "caption": CAPTION, "new_caption": NEW_CAPTION.format(word), "steps": str(steps)}
