"""A result's name: a hash of all that it depends on, so that the same work has the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones.errors import EditRealError
from editing.settings import MASKS
from editing.version import __version__
from studio.batch.jobs import Job

LENGTH = 32  # hex digits of a name
CHUNK = 1 << 20  # bytes read at once


@dataclass(frozen=True)
class Maker:
    """What makes all results of a run.

    Attributes:
        fingerprint: Of the model's weights and noise levels.
        own: What else the model's folder says of edits with it: guidance, masks, and what its trust was fitted to.
        dtype: Of its network.
        suffix: Of the images.
        sheet: Whether each result has a sheet.
        version: Of edit-real.
    """

    fingerprint: str
    own: Mapping[str, Any]
    dtype: str
    suffix: str
    sheet: bool
    version: str = __version__


def content_key(job: Job, photo_hash: str, masks: Mapping[str, str], maker: Maker) -> str:
    """The name of a job's result, `LENGTH` hex digits.

    Two jobs have one name where photo, captions, settings, region and masks are the same, wherever the files lie.

    Args:
        job: The job.
        photo_hash: Of its photo, from `file_hash`.
        masks: From `mask_hashes`.
        maker: Of the result.
    """
    asked = {
        "photo": photo_hash,
        "caption": job.caption,
        "new_caption": job.new_caption,
        "region": job.region,
        "inversion": vars(job.inversion),
        "settings": {**vars(job.settings), **masks},
        "maker": vars(maker),
    }
    told = json.dumps(plain(asked), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()[:LENGTH]


def mask_hashes(job: Job) -> dict[str, str]:
    """The hashes of those masks that the job names.

    Raises:
        EditRealError: One cannot be read.
    """
    paths = {name: getattr(job.settings, name) for name in MASKS}
    return {name: file_hash(Path(path), f"a picture as {name}") for name, path in paths.items() if path is not None}


def file_hash(path: Path, what: str) -> str:
    """SHA-256 in hex of a file's bytes.

    Raises:
        EditRealError: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_file():  # a pipe would be waited for
            raise EditRealError(f"expected {what} at {path}, found no such file; check the path")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise EditRealError(f"cannot read {path} ({error}); check the path and its permissions") from error
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Something for JSON, alike where settings are equal: 1 and 1.0, a list and a tuple."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return str(value) if isinstance(value, Path) else value
