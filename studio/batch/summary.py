"""What a run came to, in figures and in a few lines of text."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studio.batch.ledger import DONE
from studio.batch.store import Store

NAME = "summary.json"
ROWS_NAMED = 5  # of those that failed for one reason


@dataclass(frozen=True)
class Reason:
    """Why rows failed, in words that hold for all of them."""

    text: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """Counts, times and reasons.

    Attributes:
        rows: That the jobs have.
        done: That have a result.
        failed: That have none.
        edited: That this run did.
        seconds: That this run took.
        seconds_a_row: Of those that this run did; None where it did none.
        warned: Results with a warning.
        warnings: How often each was given, the most frequent first.
        failures: The most frequent reason first.
    """

    rows: int
    done: int
    failed: int
    edited: int
    seconds: float
    seconds_a_row: float | None
    warned: int
    warnings: dict[str, int]
    failures: tuple[Reason, ...]

    def text(self) -> str:
        """A few lines for a terminal."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        rate = f", {self.seconds_a_row:.2f} s a row" if self.seconds_a_row is not None else ""
        yield f"{self.done} of {self.rows} rows done, {self.edited} of them now in {duration(self.seconds)}{rate}"
        if self.warned:
            yield f"{self.warned} with a warning; the contact sheet has them first"
        if self.failed:
            yield f"{self.failed} failed:"
        for reason in self.failures:
            named = ", ".join(map(str, reason.rows[:ROWS_NAMED])) + (", ..." if len(reason.rows) > ROWS_NAMED else "")
            yield f"  {len(reason.rows):>5}  {reason.text} (row {named})"


def summarize(lines: Sequence[Mapping[str, Any]], edited: int, *, seconds: float) -> Summary:
    """The summary of all lines, of which this run did `edited`."""
    done = [line for line in lines if line["status"] == DONE]
    warnings = Counter(_common(str(warning), line) for line in done for warning in line["warnings"])
    return Summary(
        rows=len(lines),
        done=len(done),
        failed=len(lines) - len(done),
        edited=edited,
        seconds=round(seconds, 3),
        seconds_a_row=round(seconds / edited, 3) if edited else None,
        warned=sum(bool(line["warnings"]) for line in done),
        warnings=dict(warnings.most_common()),
        failures=_reasons([line for line in lines if line["status"] != DONE]),
    )


def _reasons(lines: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        alike.setdefault(_common(str(line["reason"]), line), []).append(line)
    reasons = [
        Reason(text if len(same) > 1 else str(same[0]["reason"]), tuple(int(line["row"]) for line in same))
        for text, same in alike.items()
    ]
    return tuple(sorted(reasons, key=lambda reason: (-len(reason.rows), reason.rows)))


def write_summary(store: Store, summary: Summary) -> None:
    """Writes `summary.json`."""
    text = json.dumps(asdict(summary), indent=1, ensure_ascii=False) + "\n"
    store.write(NAME, text.encode("utf-8", "backslashreplace"))


def duration(seconds: float) -> str:
    """Such as `0:03:20`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _common(sentence: str, line: Mapping[str, Any]) -> str:
    """A sentence without what is a row's own, so that rows with the same trouble are counted together."""
    if photo := str(line.get("photo", "")):
        sentence = re.sub(rf"[^\s'\"]*{re.escape(photo)}", "PHOTO", sentence)
    sentence = re.sub(r"(?<![\w])(['\"]).*?\1(?!\w)", "'...'", sentence)
    return re.sub(r"(?<![\w-])\d[\d.]*", "N", sentence)
