import pytest
import torch
from transformers import CLIPTokenizer

from backbones.attention import Control, Site, attention, attention_probs, gather
from backbones.errors import EditRealError
from backbones.text import parse_caption
from editing.align import Alignment, align_captions
from editing.controls.prompt_to_prompt import PromptToPrompt, WordEdits, carry_cross, lay_out, with_default
from editing.settings import EditSettings
from editing.window import Window

STEPS, HEADS, SIDE, KEYS = 10, 2, 4, 24
CROSS = Site("attn2", "cross", "decoder", 0, SIDE, SIDE, 1.0)
SELF = Site("attn1", "self", "decoder", 0, SIDE, SIDE, 1.0)
EDITS = [
    ("a red rose", "a red cat"),  # swap
    ("a red rose", "a red tulip"),  # swap with more tokens
    ("a tulip", "a rose"),  # swap with fewer
    ("a rose", "a red rose on a table"),  # add
    ("a red rose on a table", "a rose"),  # remove
    ("a red rose", ""),
    ("", "a red rose"),
    ("a cat and a dog", "a dog and a cat"),  # move
    ("a " * 22, "tulip " * 6),  # cut
]


def align(tokenizer: CLIPTokenizer, source: str, target: str) -> Alignment:
    return align_captions(parse_caption(tokenizer, source), parse_caption(tokenizer, target))


def plan(tokenizer: CLIPTokenizer, source: str, target: str, **options: object) -> WordEdits:
    defaults = {"cross_replace": 1.0, "self_replace": 0.5, "weights": {}, "carry_swaps": True}
    return lay_out(align(tokenizer, source, target), range(STEPS), **(defaults | options))


def tokens_of(tokenizer: CLIPTokenizer, caption: str, word: str) -> list[int]:
    return list(parse_caption(tokenizer, caption).find(word)[0].positions)


def probs(*shape: int, seed: int = 0) -> torch.Tensor:
    return (2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).softmax(-1)


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """The source's and a target's probabilities, `(heads, Q, K)`."""
    return probs(HEADS, SIDE**2, KEYS), probs(HEADS, SIDE**2, KEYS, seed=1)


@pytest.mark.parametrize(("source", "target"), EDITS)
@pytest.mark.parametrize("swaps", [True, False])
def test_carried_rows_sum_to_1(
    tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor], source: str, target: str, swaps: bool
) -> None:
    alignment = align(tokenizer, source, target)
    carried = carry_cross(*pair, alignment.carry_matrix(swaps=swaps), alignment.fresh_tokens(swaps=swaps))
    torch.testing.assert_close(carried.sum(-1), torch.ones(HEADS, SIDE**2), rtol=1e-5, atol=1e-5)
    assert (carried >= 0).all()


def test_the_same_caption_gives_the_sources_attention(
    tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    edit = plan(tokenizer, "a red tulip", "a red tulip")
    torch.testing.assert_close(edit.cross(*pair, step=0), pair[0])


def test_a_swapped_word_looks_where_the_old_one_did(
    tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    edit = plan(tokenizer, "a red rose", "a red cat")
    torch.testing.assert_close(edit.cross(*pair, step=0), pair[0])  # as many tokens, so it is the same matrix
    spelled = plan(tokenizer, "a red rose", "a red tulip")
    tokens = tokens_of(tokenizer, "a red tulip", "tulip")
    found = spelled.cross(*pair, step=0)[..., tokens]
    torch.testing.assert_close(found, (pair[0][..., 3:4] / 5).expand_as(found))


def test_an_added_word_looks_where_it_wants(tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    edited = plan(tokenizer, "a rose", "a red rose").cross(*pair, step=0)
    torch.testing.assert_close(edited[..., 2], pair[1][..., 2])
    others = [0, 1, 3]  # start, "a", "rose" share the rest as they did
    torch.testing.assert_close(edited[..., 3] / edited[..., 1], pair[0][..., 2] / pair[0][..., 1])
    assert not torch.allclose(edited[..., others], pair[1][..., others], atol=1e-3)


def test_a_swapped_word_that_is_not_carried_looks_where_it_wants(
    tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    edited = plan(tokenizer, "a red rose", "a red cat", carry_swaps=False).cross(*pair, step=0)
    torch.testing.assert_close(edited[..., 3], pair[1][..., 3])


@pytest.mark.parametrize("weights", [{"red": 2.5}, {"red": 0.0}, {"red": -1.5}, {"red": 0.5, "tulip": 3, "a": 0}, {}])
def test_reweighting_scales_the_words_tokens_alone(
    tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor], weights: dict[str, float]
) -> None:
    options = ("a photo of a red tulip", "a photo of a red tulip")
    plain, scaled = plan(tokenizer, *options), plan(tokenizer, *options, weights=weights)
    expected = torch.ones(KEYS)
    for word in align(tokenizer, *options).target.words:
        expected[list(word.positions)] = float(weights.get(word.text, 1))
    assert torch.equal(scaled.weights, expected.expand(STEPS, KEYS))
    torch.testing.assert_close(scaled.cross(*pair, step=0), plain.cross(*pair, step=0) * expected)


@pytest.mark.parametrize(
    ("source", "target", "emphasised"),
    [
        ("a red rose", "a green rose", ["green"]),
        ("a rose", "a red rose with a hat", ["red", "hat"]),
        ("a red rose", "a rose", []),
        ("a red rose", "a rose red", []),
    ],
)
def test_new_content_words_are_emphasised_where_no_weight_says_otherwise(
    tokenizer: CLIPTokenizer, source: str, target: str, emphasised: list[str]
) -> None:
    edit = plan(tokenizer, source, target, emphasis=1.5, weights={"hat": 3.0} if "hat" in target else {})
    expected = torch.ones(KEYS)
    for word in parse_caption(tokenizer, target).words:
        if word.text in emphasised:
            expected[list(word.positions)] = 3.0 if word.text == "hat" else 1.5
    assert torch.equal(edit.weights, expected.expand(STEPS, KEYS))


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (0, []),
        (0.0, []),
        (0.04, []),
        (0.3, [0, 1, 2]),
        (1, list(range(10))),
        (1.0, list(range(10))),
        ((0.2, 0.5), [2, 3, 4]),
        ((0.5, 1.0), [5, 6, 7, 8, 9]),
        ((0.5, 0.5), []),
        ([0.9, 1], [9]),
    ],
)
def test_windows_are_shares_of_the_steps(tokenizer: CLIPTokenizer, window: Window, expected: list[int]) -> None:
    edit = plan(tokenizer, "a red rose", "a red cat", cross_replace=window, self_replace=window)
    assert [step for step, holds in enumerate(edit.holds) if holds] == expected
    assert edit.cross_steps.shape == (STEPS, KEYS)
    assert all(column.nonzero().flatten().tolist() == expected for column in edit.cross_steps.T)


@pytest.mark.parametrize(("windows", "rest"), [({"tulip": 0.2, "default": 0.6}, 6), ({"tulip": (0.0, 0.2)}, 10)])
def test_words_may_have_windows_of_their_own(tokenizer: CLIPTokenizer, windows: dict[str, Window], rest: int) -> None:
    edit = plan(tokenizer, "a red rose", "a red tulip", cross_replace=windows)
    lengths = edit.cross_steps.sum(0)
    tokens = tokens_of(tokenizer, "a red tulip", "tulip")
    assert lengths[tokens].tolist() == [2] * 5
    others = [k for k in range(KEYS) if k not in tokens]
    assert lengths[others].tolist() == [rest] * len(others)
    assert "tulip" in windows  # the user's mapping is not consumed


def test_outside_its_window_a_word_keeps_its_own_attention(
    tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    edit = plan(tokenizer, "a red rose", "a red cat", cross_replace={"cat": 0.2, "default": 0.8})
    assert torch.equal(edit.cross(*pair, step=8), pair[1])
    middle = edit.cross(*pair, step=5)
    assert torch.equal(middle[..., 3], pair[1][..., 3])
    torch.testing.assert_close(middle[..., 2], pair[0][..., 2])


@pytest.mark.parametrize(
    "window", [-0.1, 1.1, (0.6, 0.2), (0, 2), (-1, 1), float("nan"), (0.1,), (0, 0.5, 1), "0.5", None, ("a", "b")]
)
@pytest.mark.parametrize("name", ["cross_replace", "self_replace"])
def test_windows_that_are_no_shares_are_refused(tokenizer: CLIPTokenizer, window: object, name: str) -> None:
    with pytest.raises(EditRealError, match="window of shares between 0 and 1"):
        plan(tokenizer, "a red rose", "a red cat", **{name: window})


@pytest.mark.parametrize("options", [{"cross_replace": {"rose": 0.2}}, {"weights": {"rose": 2.0}}])
def test_a_word_that_the_new_caption_lacks_is_refused(tokenizer: CLIPTokenizer, options: dict) -> None:
    with pytest.raises(EditRealError, match=r"'a red cat'.*got 'rose'"):
        plan(tokenizer, "a red rose", "a red cat", **options)


def test_weights_act_in_their_window_alone(tokenizer: CLIPTokenizer, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The published equalizer acts only while cross-attention is replaced."""
    options = {"cross_replace": 0.4, "emphasis": 2.0, "emphasis_window": 0.4}
    edit = plan(tokenizer, "a red rose", "a red cat", **options)
    inside, outside = edit.cross(*pair, step=3), edit.cross(*pair, step=4)
    torch.testing.assert_close(inside[..., 3], 2 * pair[0][..., 3])
    assert torch.equal(outside, pair[1])
    assert edit.acts == (True,) * 4 + (False,) * 6, "where nothing is changed, attention stays fused"
    always = plan(tokenizer, "a red rose", "a red cat", **(options | {"emphasis_window": 1.0}))
    torch.testing.assert_close(always.cross(*pair, step=4)[..., 3], 2 * pair[1][..., 3])
    assert all(always.acts)


@pytest.fixture
def words(tokenizer: CLIPTokenizer) -> list[WordEdits]:
    """Three different edits of one caption."""
    return [
        plan(tokenizer, "a red rose", "a red cat", cross_replace=0.8, self_replace=0.4),
        plan(tokenizer, "a red rose", "a red tulip on a table", cross_replace=0.3, self_replace=0.0),
        plan(tokenizer, "a red rose", "a rose", weights={"rose": -2}, self_replace=1.0),
    ]


def tensors(rows: int, site: Site) -> list[torch.Tensor]:
    """Queries, keys and values `(rows, heads, Q, d)` of a layer."""
    generator, keys = torch.Generator().manual_seed(0), KEYS if site.kind == "cross" else SIDE**2
    return [torch.randn(rows, HEADS, length, 8, generator=generator) for length in (SIDE**2, keys, keys)]


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("site", [CROSS, SELF], ids=["cross", "self"])
@pytest.mark.parametrize("step", [0, 5, 9])
def test_source_and_unconditional_rows_are_left_and_nothing_is_written_in_place(
    words: list[WordEdits], site: Site, step: int
) -> None:
    inputs = tensors(7, site)
    before, plain = [tensor.clone() for tensor in inputs], attention(*inputs)
    edited = PromptToPrompt(words, [CROSS, SELF]).attend(site, *inputs, step)
    assert all(torch.equal(tensor, kept) for tensor, kept in zip(inputs, before, strict=True))
    assert edited.shape == plain.shape
    close(edited[:4], plain[:4])
    assert not torch.allclose(edited[4:], plain[4:], atol=1e-3)


@pytest.mark.parametrize("step", [0, 3, 9])
def test_cross_attention_is_what_the_edited_probabilities_gather(words: list[WordEdits], step: int) -> None:
    query, key, value = tensors(7, CROSS)
    edited = PromptToPrompt(words, [CROSS, SELF]).attend(CROSS, query, key, value, step)
    probs = attention_probs(query, key)
    for index, one in enumerate(words):
        expected = gather(one.cross(probs[0], probs[4 + index], step), value[4 + index])
        close(edited[4 + index], expected)


@pytest.mark.parametrize("step", [0, 3, 9])
def test_self_attention_is_the_sources_probabilities_over_the_targets_values(words: list[WordEdits], step: int) -> None:
    query, key, value = tensors(7, SELF)
    edited = PromptToPrompt(words, [CROSS, SELF]).attend(SELF, query, key, value, step)
    probs = attention_probs(query, key)
    for index, one in enumerate(words):
        close(edited[4 + index], gather(probs[0 if one.holds[step] else 4 + index], value[4 + index]))


@pytest.mark.parametrize("site", [CROSS, SELF], ids=["cross", "self"])
def test_targets_in_a_batch_equal_one_by_one(words: list[WordEdits], site: Site) -> None:
    inputs = tensors(7, site)
    together = PromptToPrompt(words, [CROSS, SELF]).attend(site, *inputs, 0)
    for index, one in enumerate(words):
        alone = [tensor[[0, 1 + index, 4 + index]] for tensor in inputs]
        close(together[4 + index], PromptToPrompt([one], [CROSS, SELF]).attend(site, *alone, 0)[2])


def sites_at(control: Control, step: int) -> set[Site]:
    return set(control.sites(step))


def test_layers_are_taken_only_where_and_when_they_are_changed(tokenizer: CLIPTokenizer) -> None:
    edit = plan(tokenizer, "a red rose", "a red cat", cross_replace=0.6, self_replace=0.3)
    control = PromptToPrompt([edit], [CROSS, SELF])
    assert sites_at(control, 0) == {CROSS, SELF}
    assert sites_at(control, 4) == {CROSS}
    assert sites_at(control, 8) == set()


@pytest.mark.parametrize(
    ("side", "share", "held"),
    [(64, 1.0, False), (32, 0.5, True), (96, 1.0, False), (48, 0.5, True), (16, 1.0, True), (64, 0.5, True)],
    ids=["SD at 512, finest", "half", "SD at 768, finest", "half of 96", "a small model's finest", "half of 128"],
)
def test_the_layout_is_held_up_to_half_of_the_latents_side(
    tokenizer: CLIPTokenizer, side: int, share: float, held: bool
) -> None:
    site = Site("attn1", "self", "decoder", 0, side, side, share)
    control = PromptToPrompt([plan(tokenizer, "a rose", "a cat")], [CROSS, site])
    assert (site in control.sites(0)) == held


def test_a_words_own_window_leaves_all_other_words_theirs() -> None:
    assert with_default({"pink": 0.4}) == {"default": EditSettings.cross_replace, "pink": 0.4}
    assert with_default({"pink": 0.4, "default": 0.1}) == {"pink": 0.4, "default": 0.1}
    assert with_default(0.3) == 0.3


def test_where_text_and_pixels_share_a_softmax_words_are_carried_in_its_text_columns(tokenizer: CLIPTokenizer) -> None:
    """Against probabilities written out: `(1 - share) * carried words + share * the source's pixels`."""
    words = plan(tokenizer, "a red rose", "a red cat", weights={"red": 0.5})
    site, length = Site("attn", "joint", "middle", 0, SIDE, SIDE, share=0.25), KEYS
    control = PromptToPrompt([words], [site])
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, 2, count, 8, generator=generator) for count in (16, length + 16, length + 16))
    plain = attention_probs(query, key)
    for step, holds in ((0, True), (STEPS - 1, False)):
        source, target = plain[0], plain[2]
        share = target[..., length:].sum(-1, keepdim=True)
        pixels = source[..., length:] if holds else target[..., length:]
        within = [part[..., :length] / part[..., :length].sum(-1, keepdim=True) for part in (source, target)]
        text = words.cross(*within, step)
        expected = torch.cat([(1 - share) * text, share * pixels / pixels.sum(-1, keepdim=True)], -1)
        changed = control.attend(site, query, key, value, step)
        torch.testing.assert_close(changed[2], expected @ value[2], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(changed[:2], plain[:2] @ value[:2], rtol=1e-4, atol=1e-5)
