"""What the page says of captions and edits: words that differ, a verdict, as HTML in which all text is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from html import escape

from backbones.backbone import Backbone
from backbones.text import Word, parse_caption
from editing.align import ARTICLES, Alignment, align_captions, is_content, new_words


def align(backbone: Backbone, caption: str, new_caption: str) -> Alignment:
    """The two captions, word by word.

    Raises:
        EditRealError: A caption that is no text.
    """
    return align_captions(parse_caption(backbone.tokenizer, caption), parse_caption(backbone.tokenizer, new_caption))


def weighable(alignment: Alignment, returned: Collection[str] = ()) -> list[str]:
    """The new caption's words that can be turned up or down, each once: the new ones, and those in `returned`."""
    known = {word.casefold() for word in returned}
    stay = [word for word in alignment.target.words if word.text.casefold() in known]
    return list(dict.fromkeys(word.text for word in [*new_words(alignment), *stay]))


def difference(alignment: Alignment, protected: Collection[str] = ()) -> str:
    """The new caption with its new words marked and the old ones struck out; words that stay can be protected."""
    source, target = alignment.source.words, alignment.target.words
    replaced = {j: source[i] for i, j in alignment.swaps}
    added, kept = set(alignment.added), {word.casefold() for word in protected}
    pieces = []
    for j, word in enumerate(target):
        if j in replaced and word.key in ARTICLES and replaced[j].key in ARTICLES:
            pieces.append(_plain(word))  # "an" that became "a" is no news
        elif j in replaced:
            pieces.append(f"<del>{escape(replaced[j].text)}</del> <ins>{escape(word.text)}</ins>")
        elif j in added:
            pieces.append(f"<ins>{escape(word.text)}</ins>")
        else:
            pieces.append(_staying(word, word.key in kept) if is_content(alignment.target, j) else _plain(word))
    gone = [f"<del>{escape(source[i].text)}</del>" for i in alignment.removed]
    unread = [f"<s title='longer than the model can read'>{escape(word)}</s>" for word in alignment.target.cut]
    return f"<p class='difference'>{' '.join(pieces + gone + unread)}</p>"


def _plain(word: Word) -> str:
    return f"<span>{escape(word.text)}</span>"


def _staying(word: Word, protected: bool) -> str:
    text = escape(word.text)
    told = f"{text}: protected" if protected else f"{text}: protect this word"
    return (
        f"<button type='button' class='word' data-word=\"{escape(word.text, quote=True)}\" "
        f"aria-pressed='{str(protected).lower()}' title='{told}' aria-label='{told}'>{text}</button>"
    )


def verdict(metrics: Mapping[str, float], warnings: Sequence[str]) -> str:
    """One sentence on how an edit came out, and what to mind."""
    mask, change = metrics["mask_share"], metrics["change_inside"]
    if mask == 0:
        lead = "Nothing was changed."
    elif change < 1:
        lead = f"Hardly anything changed in the {share(mask)} of the photo that was open to the edit."
    else:
        lead = f"{share(mask).capitalize()} of the photo was edited; its colours moved by {change:.0f} % on average."
    rest = "Every other pixel is the photo’s own." if 0 < mask < 99.95 else ""
    items = "".join(f"<li>{_told(warning)}</li>" for warning in warnings)
    notes = f"<ul class='warnings'>{items}</ul>" if items else ""
    return f"<p class='lead'>{lead} {rest}</p>{notes}"


def share(per_cent: float) -> str:
    """A share of a photo as one would say it."""
    return "less than 1 %" if per_cent < 1 else f"{per_cent:.0f} %"


def finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The figures as JSON has them: those that do not apply, or are infinite, as None."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


_MEASURES = {
    "trust": ("How likely it came out as asked", "{:.0%}"),
    "mask_share": ("Edited", "{:.1f} % of the photo"),
    "change_inside": ("Change there", "{:.1f} % of the full range"),
    "ceiling_psnr": ("What the model can draw of the photo", "{:.1f} dB"),
    "outside_psnr": ("Surroundings before they are put back", "{:.1f} dB"),
    "reconstruction_psnr": ("Guided sampling without replay", "{:.1f} dB"),
}


def measures(metrics: Mapping[str, float]) -> str:
    """The figures of an edit as a list."""
    rows = [
        f"<div><dt>{label}</dt><dd>{form.format(metrics[key])}</dd></div>"
        for key, (label, form) in _MEASURES.items()
        if key in metrics and not math.isnan(metrics[key])
    ]
    return f"<details><summary>Figures</summary><dl class='measures'>{''.join(rows)}</dl></details>"


def note(text: str, kind: str = "plain") -> str:
    """A sentence on what happened; `kind` is `plain`, `done` or `refused`."""
    role = "alert" if kind == "refused" else "status"
    return f"<p class='note {kind}' role='{role}'>{_told(text)}</p>" if text else ""


def _told(text: str) -> str:
    """A sentence as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(_sentence(text)))


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return text and text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")
