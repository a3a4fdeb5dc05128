"""Measurements that are kept in a ledger as they come, so that a benchmark that was interrupted goes on.

What is kept holds for the same edits, methods, steps, weights and code; anything else is measured anew. Networks that
judge, such as LPIPS, are looked for only where something is measured: after installing one, take another folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.edits import Edit
from benchmarks.methods import Method
from studio.batch.key import file_hash, plain
from studio.batch.ledger import Ledger
from studio.batch.workers import weight_files

ROOT = Path(__file__).parent.parent
PIXELS = ("photo", "region", "border")  # of an edit
CODE = ("backbones", "inversion", "masks", "editing", "benchmarks")


@dataclass(frozen=True)
class Done:
    """A group's rows, and why measures are not available.

    Attributes:
        rows: One for each edit and method; one whose `error` is not empty has no figures.
        missing: By measure.
    """

    rows: list[dict[str, Any]]
    missing: Mapping[str, str]


class Kept:
    """What a ledger has of earlier runs, and what is added to it."""

    def __init__(self, ledger: Ledger, about: str, *, retry_failed: bool = False) -> None:
        """Takes what the ledger has.

        Args:
            ledger: Of the benchmark's folder.
            about: From `hash_of_all`.
            retry_failed: Whether groups with an edit that failed are measured again.
        """
        self._ledger, self._about = ledger, about
        found = {line["key"]: line for line in ledger.lines if "key" in line and "rows" in line}
        self._lines = {key: line for key, line in found.items() if not (retry_failed and _any_failed(line["rows"]))}

    def key(self, edits: Sequence[Edit], methods: Mapping[str, Method], steps: int) -> str:
        """The name of a group's measurements, by all that they depend on."""
        asked = [{name: _hash(one) if name in PIXELS else one for name, one in vars(edit).items()} for edit in edits]
        told = {"edits": asked, "methods": {name: vars(method) for name, method in methods.items()}, "steps": steps}
        return hashlib.sha256(json.dumps([self._about, plain(told)], sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> Done | None:
        """A group's measurements, where they were made before."""
        if key not in self._lines:
            return None
        rows = [
            {**row, "picture": base64.b64decode(row["picture"])} if "picture" in row else row
            for row in self._lines[key]["rows"]
        ]
        return Done(rows, self._lines[key]["missing"])

    def keep(self, key: str, done: Done) -> None:
        """Adds a group's measurements to the ledger."""
        rows = [
            {**row, "picture": base64.b64encode(row["picture"]).decode()} if "picture" in row else row
            for row in done.rows
        ]
        self._ledger.add({"key": key, "rows": rows, "missing": dict(done.missing)})


def hash_of_all(model: str, classifier: Path | None) -> str:
    """A hash of the weights and of the code that measures.

    Raises:
        EditRealError: There is no such model.
    """
    files = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    files += [*weight_files(model), *(sorted(classifier.rglob("*.safetensors")) if classifier else [])]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {file_hash(path, 'a file')}".encode())
    return digest.hexdigest()


def _any_failed(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["error"] for row in rows)


def _hash(array: np.ndarray | None) -> str | None:
    if array is None:
        return None
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()
