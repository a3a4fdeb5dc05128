"""Colours and type of the page, as a Gradio theme."""

from __future__ import annotations

import gradio as gr


def theme() -> gr.themes.Base:
    """Warm greys and one accent; the machine's own fonts, so that none is fetched."""
    rose = gr.themes.Color(
        c50="#fff1f6", c100="#ffe0ec", c200="#ffc2d9", c300="#ff94bb", c400="#f65c96", c500="#e0317f",
        c600="#c21d68", c700="#a31557", c800="#861349", c900="#6f133f", c950="#43051f",
    )  # fmt: skip
    return gr.themes.Base(
        primary_hue=rose,
        neutral_hue=gr.themes.colors.stone,
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        text_size=gr.themes.sizes.text_lg,
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        body_background_fill="#faf8f5",
        body_background_fill_dark="#161412",
        block_info_text_color="#6a625b",
        block_info_text_color_dark="#aba29a",
    )
