"""How often the caption that is proposed for a photo is right.

    python -m benchmarks.proposals --photos flower-photos-144.zip --photos pet-photos-144.zip --number 20

prints, for several gains below which nothing is proposed, how often something is and how often the noun is right then,
and the same of colours for several shares of the thing's pixels. Photos of things that the model has no word for are in
the last column: nothing is the right answer there.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from backbones.backbone import Backbone
from backbones.loading import load_backbone
from backbones.photo import open_photo
from backbones.view import look_at
from editing.propose import LEAST_COLOR_SHARE, LEAST_GAIN, Proposal, propose_caption
from training.archives import read_archive
from workshop.command import run_command
from workshop.tables import markdown

GAINS = (0.0, 0.005, LEAST_GAIN, 0.02, 0.04)
COLOR_SHARES = (0.0, LEAST_COLOR_SHARE, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Judged:
    """A proposal with no least gain, and what is known of the photo.

    Attributes:
        proposal: What the model found.
        nouns: That are right, singular and plural.
        color: That is right; None where it is not known.
        known: Whether the model has a word for the thing.
    """

    proposal: Proposal
    nouns: frozenset[str]
    color: str | None
    known: bool


def judge(backbone: Backbone, rows: Iterable[dict[str, Any]]) -> list[Judged]:
    """Proposes for each photo of the archives' rows."""
    judged = []
    for row in rows:
        nouns = frozenset({row["thing"], row["things"], *(noun for pair in row["names"] for noun in pair)})
        proposal = propose_caption(backbone, look_at(backbone, open_photo(row["image"])), least=-1, least_color=-1)
        assert proposal is not None, "a model without a list of its words"
        known = any(noun in found for found in backbone.words.values() for noun in nouns)
        judged.append(Judged(proposal, nouns, row["color"], known))
    return judged


def noun_table(judged: Sequence[Judged]) -> list[dict[str, object]]:
    """What different least gains of a noun would have given."""
    known, others = ([one for one in judged if one.known == kind] for kind in (True, False))
    table: list[dict[str, object]] = []
    for least in GAINS:
        proposed = [one for one in known if one.proposal.gain >= least]
        wrongly = [one for one in others if one.proposal.gain >= least]
        right = [one.proposal.thing in one.nouns for one in proposed]
        table.append(
            {
                "least gain": str(least),
                f"proposed, of {len(known)}": len(proposed),
                "noun right (%)": percent(right),
                f"proposed for what has no word, of {len(others)}": len(wrongly),
            }
        )
    return table


def color_table(judged: Sequence[Judged]) -> list[dict[str, object]]:
    """What different least shares of a colour would have given, for photos of a known colour whose noun is right."""
    told = [one for one in judged if one.color and one.proposal.gain >= LEAST_GAIN and one.proposal.thing in one.nouns]
    table: list[dict[str, object]] = []
    for least in COLOR_SHARES:
        named = [one.proposal.color == one.color for one in told if one.proposal.color_share >= least]
        table.append(
            {
                "least share": str(least),
                f"colour named, of {len(told)}": len(named),
                "colour right (%)": percent(named),
            }
        )
    return table


def percent(right: Sequence[bool]) -> float:
    """Of what is true; NaN of nothing."""
    return 100 * float(np.mean(right)) if right else float("nan")


def spread_rows(archives: Sequence[Path], split: str, number: int) -> list[dict[str, Any]]:
    """`number` photos of each archive's split, evenly spread over it."""
    chosen: list[dict[str, Any]] = []
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            listed = [json.loads(line) for line in opened.read("metadata.jsonl").splitlines()]
        names = [row["file_name"] for row in listed if row["split"] == split]
        some = [names[int(i)] for i in np.linspace(0, len(names) - 1, min(number, len(names)))]
        chosen += read_archive(archive, names=some)
    return chosen


def main(
    photos: Annotated[list[Path], typer.Option(help="photo archives")],
    number: Annotated[int, typer.Option(help="photos of each archive")] = 20,
    split: Annotated[str, typer.Option(help="test, or train to choose the gains and shares on")] = "test",
    model: Annotated[str, typer.Option(help="'bundled' or a folder")] = "bundled",
) -> None:
    """Print both tables."""
    rows = spread_rows(photos, split, number)
    judged = judge(load_backbone(model), tqdm(rows, desc="propose", disable=None))
    print(f"nouns of {len(judged)} {split} photos\n\n{markdown(noun_table(judged))}")
    print(f"\ncolours of those whose noun is right\n\n{markdown(color_table(judged))}")


if __name__ == "__main__":
    run_command(main)
