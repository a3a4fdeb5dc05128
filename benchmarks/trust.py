r"""Fit the trust in an edit to the judgement of those who know the answer, and check it on edits of other photos.

    python -m benchmarks.quality --photos ... --edits work/train-edits.json --out work/train --method edit-real \
        --set "attempts=1" --set "attempts=1 self_replace=0.2 emphasis=3" \
        --set "attempts=1 mask_threshold=0.25" --set "attempts=1 mask_threshold=0.75"
    python -m benchmarks.quality --photos ... --out work/test --method edit-real
    python -m benchmarks.trust --train work/train/quality.csv --test work/test/quality.csv --out work/trust

writes `trust.json` (what was fitted), `trust.md` (the tables) and `trust.png` (how likely edits came out, as they say
themselves and as they did). `--write FOLDER` puts what was fitted into a model's `edit_real.json`. All rows of the
train photos are fitted to, so that settings which make edits fail, or their masks too large or small, teach what
failing looks like; of the test photos it is the product's own row alone. Without `--train` nothing is fitted, and what
the model holds is checked.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from backbones.errors import EditRealError
from backbones.loading import load_backbone
from backbones.saving import make_folder
from benchmarks.judge import SIGN
from benchmarks.methods import OURS
from benchmarks.truths import is_sound, photo_of
from editing.trust import OF_THE_PLACE, OF_THE_REQUEST, TrustModel
from editing.verdict import trouble_of
from workshop.command import run_command
from workshop.tables import markdown

SIGNS = ("asked_color", "asks_thing", "thing_seen", "thing_seen_early", "fits_map")
"""Those of `editing.signs` that are weighed: chosen on train photos, where the others did not tell more."""

LEAST_COLOR = 50.0  # per cent of the pixels of the old colour, or of the region where the old caption names none
LEAST_PSNR = 20.0  # dB, of what should stay
LEAST_IOU = 0.5
STRENGTH = 1.0  # of the fit, the inverse of its ridge
BINS = 5
AIM = 0.8  # of the failed edits that are to be warned of

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Judged:
    """Edits with their signs, and what failed of each.

    Attributes:
        rows: Of `quality.csv`.
        signs: Of each, by name.
        failed: Of each, see `failures`.
    """

    rows: list[Row]
    signs: list[dict[str, float]]
    failed: list[list[str]]

    @property
    def good(self) -> np.ndarray:
        """`(N,)` bool."""
        return np.array([not some for some in self.failed], bool)


def read_rows(path: Path, *, ours: bool) -> Judged:
    """The edits of a `quality.csv`; of the product's own row alone, or of all.

    Raises:
        EditRealError: It cannot be read, or is of a version that measured no signs.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if not row["error"] and (not ours or row["method"] == OURS)]
    except (OSError, KeyError) as error:
        raise EditRealError(f"expected a quality.csv of benchmarks.quality, got {path}: {error}") from error
    rows = [row for row in rows if row.get(f"{SIGN}mask_share")]
    if not rows:
        raise EditRealError(f"expected edits with their signs, got none in {path}; measure them again")
    if missing := [name for name in SIGNS if f"{SIGN}{name}" not in rows[0]]:
        raise EditRealError(f"expected {', '.join(SIGNS)} of every edit, got no {missing[0]} in {path}; measure again")
    signs = [{name.removeprefix(SIGN): _number(row[name]) for name in row if name.startswith(SIGN)} for row in rows]
    return Judged(rows, signs, [failures(row) for row in rows])


def failures(row: Row) -> list[str]:
    """What failed of an edit in the eyes of those who know the answer; nothing where it came out."""
    color = _number(row["petals"])
    color = _number(row["color"]) if math.isnan(color) else color
    found = {
        "colour": color < LEAST_COLOR,
        "thing": _number(row["label"]) == 0,
        "background": _number(row["after_psnr"]) < LEAST_PSNR,
        "mask": _number(row["iou"]) < LEAST_IOU,
    }
    return [name for name, failed in found.items() if failed]


def _number(text: str | float) -> float:
    return float(text) if text != "" else math.nan


def fit(judged: Judged, names: Sequence[str] = SIGNS) -> TrustModel:
    """A ridge logistic regression of what came out on the signs, and the trust under which to warn.

    Edits of which no sign tells what came are left out. Each photo is left out in turn to see what the fit says of
    edits that it does not know; the trust under which to warn is the lowest that finds enough of the failed ones there.
    """
    of_results = [name for name in names if name not in OF_THE_REQUEST + OF_THE_PLACE]
    told = [i for i, signs in enumerate(judged.signs) if not all(math.isnan(signs[name]) for name in of_results)]
    judged = _some(judged, told)
    values = np.array([[signs[name] for name in names] for signs in judged.signs])
    known = [column[~np.isnan(column)] for column in values.T]
    means, scales = (np.array([take(column) if column.size else 0 for column in known]) for take in (np.mean, np.std))
    scales = np.where(scales > 0, scales, 1)
    plain = TrustModel(*(dict(zip(names, one.tolist(), strict=True)) for one in (means, scales, scales)), 0.0, 0.5)
    inputs = np.array([list(plain.standardized(signs).values()) for signs in judged.signs])
    regression = LogisticRegression(C=STRENGTH, max_iter=1000)
    photos = [photo_of(row["name"]) for row in judged.rows]
    left_out = cross_val_predict(
        regression, inputs, judged.good, groups=photos, cv=LeaveOneGroupOut(), method="predict_proba"
    )[:, 1]
    regression.fit(inputs, judged.good)
    weights = dict(zip(names, regression.coef_[0].tolist(), strict=True))
    least = least_cut(left_out, judged.good)
    return TrustModel(plain.means, plain.scales, weights, float(regression.intercept_[0]), least)


def least_cut(trust: np.ndarray, good: np.ndarray, share: float = AIM) -> float:
    """The lowest trust that at least `share` of the failed edits do not reach; 0.5 where none failed."""
    failed = np.sort(trust[~good])
    if not failed.size:
        return 0.5
    last = failed[math.ceil(share * len(failed)) - 1]
    above = trust[trust > last]
    return float((last + above.min()) / 2) if above.size else 1.0


def table(judged: Judged, model: TrustModel, title: str) -> dict[str, object]:
    """How many are warned of: of those that failed, and of those that came out."""
    trust = np.array([model.trust(signs) for signs in judged.signs])
    good = judged.good
    warned = np.array([trouble_of(signs, model) is not None for signs in judged.signs])
    return {
        "edits": title,
        "number": len(good),
        "failed": int((~good).sum()),
        "warned of, of the failed (%)": 100 * float(warned[~good].mean()) if (~good).any() else math.nan,
        "warned of, of the good (%)": 100 * float(warned[good].mean()) if good.any() else math.nan,
        "told apart (AUC)": told_apart(trust, good),
    }


def told_apart(trust: np.ndarray, good: np.ndarray) -> float:
    """How often a good edit has more trust than a failed one; ties count half, edits without any not at all."""
    pairs = trust[good][:, None] - trust[~good]
    pairs = pairs[~np.isnan(pairs)]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2) if pairs.size else math.nan


def by_kind(judged: Judged, model: TrustModel) -> list[dict[str, object]]:
    """A row for each kind of edit, one for all, and one for those of sound ground truth where others are not."""
    kinds = list(dict.fromkeys(row["kind"] for row in judged.rows))
    parts = {kind: [i for i, row in enumerate(judged.rows) if row["kind"] == kind] for kind in kinds}
    parts["all"] = list(range(len(judged.rows)))
    sound = [i for i in parts["all"] if is_sound(judged.rows[i]["name"])]
    if 0 < len(sound) < len(judged.rows):
        parts["all of sound ground truth"] = sound
    return [table(_some(judged, indices), model, title) for title, indices in parts.items()]


def _some(judged: Judged, indices: Sequence[int]) -> Judged:
    return Judged(*([one[i] for i in indices] for one in (judged.rows, judged.signs, judged.failed)))


def sign_table(model: TrustModel) -> list[dict[str, object]]:
    """What each sign weighs."""
    return [
        {"sign": name, "mean": model.means[name], "standard deviation": model.scales[name], "weight": weight}
        for name, weight in model.weights.items()
    ]


def draw_calibration(judged: Judged, model: TrustModel, path: Path) -> None:
    """How many came out among edits of like trust, and every edit by its trust."""
    trust = np.array([model.trust(signs) for signs in judged.signs])
    trust, good = trust[~np.isnan(trust)], judged.good[~np.isnan(trust)]
    figure, (above, below) = plt.subplots(2, 1, figsize=(5, 6), sharex=True, height_ratios=(3, 1), layout="constrained")
    above.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for group in np.array_split(np.argsort(trust), BINS):
        share, error = good[group].mean(), math.sqrt(max(good[group].var(), 0.02) / len(group))
        above.errorbar(trust[group].mean(), share, error, color="tab:blue", marker="o", capsize=3)
    above.set(ylabel="share that came out", ylim=(-0.05, 1.05), title=f"{len(good)} edits of test photos")
    shift = np.random.default_rng(0).uniform(-0.2, 0.2, len(good))
    for came_out, label, color in ((True, "came out", "tab:blue"), (False, "failed", "tab:red")):
        chosen = good == came_out
        below.scatter(trust[chosen], came_out + shift[chosen], s=14, color=color, alpha=0.7, label=label)
    below.axvline(model.warn_below, color="0.5", linestyle="--", linewidth=1)
    below.set(xlabel="trust", yticks=(0, 1), yticklabels=("failed", "came out"), ylim=(-0.5, 1.5), xlim=(0, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_into(model: TrustModel, folder: Path) -> None:
    """Puts what was fitted into the `edit_real.json` of a model's folder.

    Raises:
        EditRealError: There is none.
    """
    path = folder / "edit_real.json"
    if not path.is_file():
        raise EditRealError(f"expected the folder of a model with an edit_real.json, got {folder}")
    content = json.loads(path.read_text(encoding="utf-8")) | {"trust": rounded(model.to_json())}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Numbers with five digits that count."""
    if isinstance(value, Mapping):
        return {name: rounded(one) for name, one in value.items()}
    return float(f"{value:.5g}")


def _of_the_bundled() -> TrustModel:
    model = TrustModel.of(load_backbone("bundled", device="cpu"))
    assert model is not None
    return model


def main(
    test: Annotated[Path, typer.Option(help="quality.csv of edits of test photos")],
    out: Annotated[Path, typer.Option(help="the folder to write")],
    train: Annotated[
        Path | None, typer.Option(help="quality.csv of edits of train photos; without, the bundled model's is checked")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="a model's folder: also put what was fitted there")] = None,
) -> None:
    """Fit on the train photos' edits, check on the test photos'."""
    if write and not train:
        raise EditRealError("expected --train with --write, since without it nothing is fitted; leave --write out")
    fitted_to, checked_on = train and read_rows(train, ours=False), read_rows(test, ours=True)
    model = TrustModel.from_json(rounded(fit(fitted_to).to_json())) if fitted_to else _of_the_bundled()
    make_folder(out)
    (out / "trust.json").write_text(json.dumps(model.to_json(), indent=1) + "\n", encoding="utf-8")
    lines = [table(fitted_to, model, "train, which it was fitted to")] if fitted_to else []
    lines += by_kind(checked_on, model)
    text = f"{markdown(lines)}\n\nWarned of below {model.warn_below:.2f}.\n\n{markdown(sign_table(model))}\n"
    (out / "trust.md").write_text(text, encoding="utf-8")
    draw_calibration(checked_on, model, out / "trust.png")
    if write:
        write_into(model, write)
    print(text)


if __name__ == "__main__":
    run_command(main)
