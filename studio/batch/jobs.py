"""What is asked: jobs from a CSV file, a file of JSON Lines, or a folder of photos."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from backbones.errors import EditRealError
from backbones.paths import expanded
from editing.captions import check_caption
from editing.settings import MASKS, EditSettings, InversionSettings, with_options
from studio.batch.cells import read_cell, read_value

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".bmp", ".gif")
"""Of what is taken as a photo in a folder."""

OWN_COLUMNS = ("photo", "caption", "new_caption", "region", "name")
OF_INVERSION = tuple(one.name for one in fields(InversionSettings))
OF_EDIT = tuple(one.name for one in fields(EditSettings))
COLUMNS = (*OWN_COLUMNS, *OF_INVERSION, *OF_EDIT)
OF_THE_RUN = ("model", "device", "dtype")

Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Job:
    """One edit of one photo.

    Attributes:
        row: Where it stands: the line of a JSON Lines file, the row of a CSV file as a spreadsheet counts it (the
            head is row 1), or the place of the photo in its folder.
        photo: Its absolute path.
        shown: Its path as it was given.
        caption: What it shows.
        new_caption: What it should show.
        inversion: How it is inverted.
        settings: How it is edited.
        region: The part (left, top, right, bottom) to work on.
        name: Whatever the user calls the row, such as an article number.
    """

    row: int
    photo: Path
    shown: str
    caption: str
    new_caption: str
    inversion: InversionSettings = field(default_factory=InversionSettings)
    settings: EditSettings = field(default_factory=EditSettings)
    region: Region | None = None
    name: str = ""

    @property
    def asks(self) -> tuple[Any, ...]:
        """All that it asks; rows that ask the same have one result."""
        return self.photo, self.caption, self.new_caption, self.inversion, self.settings, self.region


@dataclass(frozen=True)
class Fault:
    """A row that cannot be done.

    Attributes:
        row: See `Job`.
        shown: The photo's path as it was given, as far as the row has one.
        reason: One sentence.
        name: See `Job`, as far as the row has one.
    """

    row: int
    shown: str
    reason: str
    name: str = ""


@dataclass(frozen=True)
class Jobs:
    """The rows that can be tried, and those that cannot, each in order."""

    jobs: tuple[Job, ...]
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        return len(self.jobs) + len(self.faults)


@dataclass(frozen=True)
class Defaults:
    """What holds for every row that does not say otherwise."""

    caption: str | None = None
    new_caption: str | None = None
    region: Region | None = None
    inversion: InversionSettings = field(default_factory=InversionSettings)
    settings: EditSettings = field(default_factory=EditSettings)


@dataclass(frozen=True)
class Row:
    """A row as it was read.

    Attributes:
        number: See `Job`.
        values: By column; just as they are written where they cannot be read.
        error: What is wrong with it.
    """

    number: int
    values: Mapping[str, Any]
    error: EditRealError | None = None


def read_jobs(path: Path, defaults: Defaults | None = None) -> Jobs:
    """Reads every row; what is wrong with one does not keep the others.

    Args:
        path: A file that ends in one of `FORMATS`, or a folder of photos. Paths in a file start from its folder.
        defaults: For what a row leaves out.

    Raises:
        EditRealError: There is nothing there, the file cannot be taken apart into rows, it has unknown columns, or the
            photos of a folder have no captions.
    """
    defaults = _from_anywhere(defaults or Defaults())
    if path.is_dir():
        _check_captions_of_folder(defaults)
    rows, home = _rows_of(path), path if path.is_dir() else path.parent
    jobs: list[Job] = []
    faults: list[Fault] = []
    for row in rows:
        try:
            jobs.append(_to_job(row, home.absolute(), defaults))
        except EditRealError as error:
            shown, name = (str(row.values.get(column) or "") for column in ("photo", "name"))
            faults.append(Fault(row.number, shown, str(error), name))
    if not jobs and not faults:
        raise EditRealError(f"expected at least one job, got none in {path}")
    return Jobs(tuple(jobs), tuple(faults))


def _check_captions_of_folder(defaults: Defaults) -> None:
    """Says once what every photo of a folder lacks, since none of them has a row of its own."""
    texts = {"--caption": defaults.caption, "--new-caption": defaults.new_caption}
    if missing := [option for option, text in texts.items() if text is None]:
        raise EditRealError(f"expected {' and '.join(missing)} for the photos of a folder, got none")


def _rows_of(path: Path) -> Iterator[Row]:
    try:
        if path.is_dir():
            return iter(list(_read_folder(path)))
        if not path.is_file():
            raise EditRealError(f"expected a file of jobs or a folder of photos, found nothing at {path}")
        if path.suffix.lower() not in FORMATS:
            raise EditRealError(f"expected jobs in {', '.join(FORMATS)} or a folder of photos, got {path.name}")
        content = path.read_bytes()
    except OSError as error:
        raise EditRealError(f"cannot read the jobs in {path} ({error}); check the path and its permissions") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise EditRealError(f"expected {path} as UTF-8 text, got UTF-16 or another kind of file; save it as UTF-8")
    # Bytes that are no UTF-8 come through as lone surrogates, so that only their own row is lost.
    text = content.decode("utf-8-sig", "surrogateescape")
    try:
        return iter(list(FORMATS[path.suffix.lower()](text)))
    except csv.Error as error:
        raise EditRealError(f"cannot take {path} apart into rows ({error}); a quotation mark may be missing") from error


def _read_folder(folder: Path) -> Iterator[Row]:
    names = sorted(one.name for one in folder.iterdir() if one.suffix.lower() in PHOTO_ENDINGS and one.is_file())
    yield from (Row(number, {"photo": name}) for number, name in enumerate((n for n in names if n[0] != "."), start=1))


def _read_csv(text: str) -> Iterator[Row]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = _without_empty_end([name.strip().lower() for name in next(table, [])])
    _check_columns(columns)
    for number, cells in enumerate(table, start=2):
        if filled := _without_empty_end([cell.strip() for cell in cells]):
            yield _read_cells(number, columns, filled, delimiter)


def _without_empty_end(cells: list[str]) -> list[str]:
    """Without the empty cells that a spreadsheet adds at the end."""
    return cells[: max((place for place, cell in enumerate(cells, start=1) if cell), default=0)]


def _read_cells(number: int, columns: list[str], cells: list[str], delimiter: str) -> Row:
    given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    if len(cells) > len(columns):
        told = f"expected {len(columns)} cells, got {len(cells)}; quote those that hold {delimiter!r}"
        return Row(number, given, EditRealError(told))
    if bad := [cell for cell in cells if not _is_text(cell)]:
        return Row(number, given, _not_utf8(bad[0]))
    return _read_row(number, given, read_cell)


def _check_columns(columns: list[str]) -> None:
    if "photo" not in columns:
        raise EditRealError(
            f"expected a first line with the names of the columns, photo among them, got {', '.join(columns)!r}"
        )
    if "" in columns:
        raise EditRealError(
            f"expected a name for every column, got none for column {columns.index('') + 1}; name it or take it out"
        )
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise EditRealError(f"expected every column once, got {twice[0]!r} more than once")
    _check_names(columns)


def _check_names(names: list[str]) -> None:
    if of_run := [name for name in names if name in OF_THE_RUN]:
        raise EditRealError(f"expected {of_run[0]} for the whole run, as --{of_run[0]}, got it in the rows")
    if unknown := [name for name in names if name not in COLUMNS]:
        raise EditRealError(
            f"expected columns among {', '.join(OWN_COLUMNS)} and the settings of an edit, got {unknown[0]!r}; "
            "`edit-real edit --help` lists those"
        )


def _read_json_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _read_json(number, line)


def _read_json(number: int, line: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        told = f"expected a JSON object in the line, got none that can be read ({error})"
        return Row(number, {}, EditRealError(told))
    if not isinstance(values, dict):
        return Row(number, {}, EditRealError(f"expected a JSON object in the line, got {type(values).__name__}"))
    if not _is_text(line):
        return Row(number, values, _not_utf8(line))
    return _read_row(number, values, read_value)


def _read_row(number: int, values: Mapping[str, Any], read: Callable[[str, Any], Any]) -> Row:
    given = {name: value for name, value in values.items() if value is not None}
    try:
        _check_names(list(values))
        return Row(number, {name: read(name, value) for name, value in given.items()})
    except EditRealError as error:
        return Row(number, given, error)


FORMATS: dict[str, Callable[[str], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
"""By the ending of the file's name."""


def _to_job(row: Row, home: Path, defaults: Defaults) -> Job:
    if row.error:
        raise row.error
    values = row.values
    shown = values.get("photo")
    if not isinstance(shown, str) or not shown:
        raise EditRealError(f"expected a photo's path, got {'none' if shown is None else repr(shown)}")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in shown):
        raise EditRealError(
            f"expected a photo's path without line breaks and control characters, got {shown!r}; rename the photo, or "
            "look for a missing quotation mark"
        )
    texts = {"caption": values.get("caption", defaults.caption)}
    texts["new_caption"] = values.get("new_caption", defaults.new_caption)
    for column, text in texts.items():
        check_caption("" if text is None else text, column.replace("_", " "))
    if not _is_text(name := str(values.get("name", ""))):
        raise EditRealError(f"expected a name of whole characters, got half of one in {name!r}; retype it")
    masks = {mask: _from(home, values[mask]) for mask in MASKS if mask in values}
    return Job(
        row.number,
        _from(home, shown),
        shown,
        **texts,
        inversion=with_options(defaults.inversion, {one: values[one] for one in OF_INVERSION if one in values}),
        settings=with_options(defaults.settings, {one: values[one] for one in OF_EDIT if one in values} | masks),
        region=values.get("region", defaults.region),
        name=name,
    )


def _from_anywhere(defaults: Defaults) -> Defaults:
    """The same with absolute paths, as those of the rows are."""
    masks = {name: getattr(defaults.settings, name) for name in MASKS}
    absolute = {name: _from(Path.cwd(), str(path)) for name, path in masks.items() if isinstance(path, str | Path)}
    return replace(defaults, settings=with_options(defaults.settings, absolute))


def _from(home: Path, path: Any) -> Path:
    if not isinstance(path, str):
        raise EditRealError(f"expected a picture's path, got {path!r}")
    return home / expanded(path)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _not_utf8(text: str) -> EditRealError:
    readable = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return EditRealError(f"expected UTF-8 text, got other bytes in {readable[:80]!r}; save the jobs as UTF-8")
