from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.batch import page
from studio.batch.page import changed_words, contact_sheet, count_kinds, doubt, write_pages
from studio.batch.store import FolderStore
from studio.batch.summary import summarize


def done(row: int, *warnings: str, held: float | None = 20.0) -> dict[str, Any]:
    return {
        "row": row,
        "name": f"SKU <{row}>",
        "photo": "sub/a & b.png",
        "caption": "a red rose",
        "new_caption": "a <b>white</b> rose",
        "status": "done",
        "key": "ab" * 16,
        "folder": "results/ab/" + "ab" * 16,
        "image": "image.png",
        "sheet": None,
        "metrics": {"outside_psnr": held, "mask_share": 12.0, "change_inside": None},
        "warnings": list(warnings),
    }


def failed(row: int, reason: str = "expected <this>, got 'that'") -> dict[str, Any]:
    return {"row": row, "photo": "", "status": "failed", "key": None, "reason": reason}


def test_the_most_doubtful_come_first() -> None:
    lines = [done(1), done(2, "dark"), done(3, held=9.0), failed(4), done(5, "dark", "empty"), done(6, held=None)]
    assert [line["row"] for line in sorted(lines, key=doubt)] == [4, 5, 2, 6, 3, 1]
    for line, trust in zip(lines[1:3], (0.1, 0.8), strict=True):
        line["metrics"]["trust"] = trust
    assert [line["row"] for line in sorted(lines, key=doubt)] == [4, 5, 2, 3, 6, 1]


def test_what_users_write_is_text_not_html() -> None:
    text = contact_sheet([done(1, "a <script>"), failed(2)], {"failed": 1, "warned": 1, "fine": 0})
    assert "<b>" not in text and "<this>" not in text and text.count("<script>") == 1
    assert "SKU &lt;1&gt;" in text and "a &amp; b.png" in text
    assert "http" not in text.replace("Content-Security-Policy", "").replace("http-equiv", "")
    assert text.count("<figure") == 2 and text.count('loading="lazy"') == 2
    assert "2 rows: 1 failed, 1 with a warning." in text


def test_changed_words_are_marked() -> None:
    assert changed_words("a red rose", "a White rose!") == "a <mark>White</mark> rose!"
    assert changed_words("", "a<") == "<mark>a</mark>&lt;"


def test_many_rows_are_several_pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "ROWS", 2)
    write_pages(FolderStore(tmp_path), [done(row) for row in range(1, 6)])
    pages = [(tmp_path / name).read_text() for name in ("index.html", "page-2.html", "page-3.html")]
    assert [text.count("<figure") for text in pages] == [2, 2, 1]
    assert all("5 rows: 5 without one" in text for text in pages)
    assert 'href="page-3.html"' in pages[0] and 'href="index.html"' in pages[2] and "<strong>3</strong>" in pages[2]


def test_kinds_are_counted() -> None:
    assert count_kinds([done(1), done(2, "dark"), failed(3)]) == {"failed": 1, "warned": 1, "fine": 1}


def test_rows_with_one_trouble_are_one_reason() -> None:
    lines = [
        {**failed(row, f"cannot read /p/{row}.png at '{row}'; take 10 of UTF-8"), "photo": f"{row}.png"}
        for row in range(9)
    ]
    lines += [failed(20, "expected 3, got 4"), done(30, "the mask is 'odd'"), done(31, "the mask is 'even'")]
    summary = summarize(lines, 0, seconds=3.0)
    assert [(reason.text, len(reason.rows)) for reason in summary.failures] == [
        ("cannot read PHOTO at '...'; take N of UTF-8", 9),
        ("expected 3, got 4", 1),
    ]
    assert summary.warnings == {"the mask is '...'": 2} and summary.warned == 2
    text = summary.text()
    assert "2 of 12 rows done, 0 of them now in 0:00:03\n" in text and "(row 0, 1, 2, 3, 4, ...)" in text
    assert json.dumps(summary.failures[0].rows)
