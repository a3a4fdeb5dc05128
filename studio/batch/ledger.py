"""`results.jsonl`: a line for every row, added as it is done and put in order when all are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from studio.batch.store import Store

NAME = "results.jsonl"
DONE, FAILED = "done", "failed"


class Ledger:
    """The lines of a store. Only the run that holds the store's lock writes them."""

    def __init__(self, store: Store) -> None:
        """Reads what is there; a last line that was cut off in the middle is taken away."""
        self._store = store
        content = store.read(NAME) or b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            store.write(NAME, whole)
        self.lines = [line for line in map(_parse, whole.splitlines()) if line is not None]

    def failures(self) -> dict[str, tuple[str, str]]:
        """Reason and trace of the rows that failed last time, by their results' names."""
        last = {line["key"]: line for line in self.lines if line.get("key")}
        return {
            key: (str(line.get("reason")), str(line.get("trace", "")))
            for key, line in last.items()
            if line.get("status") == FAILED
        }

    def add(self, line: Mapping[str, Any]) -> None:
        """One more line, kept for good before this returns."""
        self._store.append(NAME, _encode(line))

    def rewrite(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """All lines in order, in place of those that were added as they came."""
        self._store.write(NAME, b"".join(map(_encode, lines)))


def _encode(line: Mapping[str, Any]) -> bytes:
    # Half a character, as in a name of other bytes, is no UTF-8; escaped it is JSON all the same.
    return (json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
