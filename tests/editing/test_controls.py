import pytest
import torch
from transformers import CLIPTokenizer

from backbones.attention import AttentionSite
from backbones.errors import EditRealError
from backbones.text import parse_caption
from editing.align import Alignment, align_captions
from editing.controls import SELF_SIDE, EditPlan, carry_cross, edit_attention, plan_edit
from editing.window import Window

STEPS, HEADS, SIDE, KEYS = 10, 2, 4, 24
CROSS = AttentionSite("attn2", "cross", SIDE, SIDE)
SELF = AttentionSite("attn1", "self", SIDE, SIDE)
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


def plan(tokenizer: CLIPTokenizer, source: str, target: str, **options: object) -> EditPlan:
    defaults = {"cross_replace": 1.0, "self_replace": 0.5, "weights": {}, "carry_swaps": True}
    return plan_edit(align(tokenizer, source, target), STEPS, **(defaults | options))


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
    tokens = list(spelled.alignment.target.find("tulip")[0].positions)
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
    for word in plain.alignment.target.words:
        expected[list(word.positions)] = float(weights.get(word.text, 1))
    assert torch.equal(scaled.weights, expected)
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
    for word in edit.alignment.target.words:
        if word.text in emphasised:
            expected[list(word.positions)] = 3.0 if word.text == "hat" else 1.5
    assert torch.equal(edit.weights, expected)


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
    assert edit.self_steps.nonzero().flatten().tolist() == expected
    assert edit.cross_steps.shape == (STEPS, KEYS)
    assert all(column.nonzero().flatten().tolist() == expected for column in edit.cross_steps.T)


@pytest.mark.parametrize(("windows", "rest"), [({"tulip": 0.2, "default": 0.6}, 6), ({"tulip": (0.0, 0.2)}, 10)])
def test_words_may_have_windows_of_their_own(tokenizer: CLIPTokenizer, windows: dict[str, Window], rest: int) -> None:
    edit = plan(tokenizer, "a red rose", "a red tulip", cross_replace=windows)
    lengths = edit.cross_steps.sum(0)
    tokens = list(edit.alignment.target.find("tulip")[0].positions)
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


@pytest.fixture
def plans(tokenizer: CLIPTokenizer) -> list[EditPlan]:
    """Three different edits of one caption."""
    return [
        plan(tokenizer, "a red rose", "a red cat", cross_replace=0.8, self_replace=0.4),
        plan(tokenizer, "a red rose", "a red tulip on a table", cross_replace=0.3, self_replace=0.0),
        plan(tokenizer, "a red rose", "a rose", weights={"rose": -2}, self_replace=1.0),
    ]


@pytest.mark.parametrize("site", [CROSS, SELF])
@pytest.mark.parametrize("step", [0, 5, 9])
def test_source_and_unconditional_rows_are_left_and_nothing_is_written_in_place(
    plans: list[EditPlan], site: AttentionSite, step: int
) -> None:
    batch = probs(7, HEADS, SIDE**2, KEYS if site.kind == "cross" else SIDE**2)
    before = batch.clone()
    edited = edit_attention(batch, site, step, plans)
    assert torch.equal(batch, before)
    assert edited.shape == batch.shape
    assert torch.equal(edited[:4], before[:4])
    assert not torch.equal(edited[4:], before[4:])


@pytest.mark.parametrize("site", [CROSS, SELF])
@pytest.mark.parametrize("step", [0, 3, 9])
def test_targets_in_a_batch_equal_one_by_one(plans: list[EditPlan], site: AttentionSite, step: int) -> None:
    batch = probs(7, HEADS, SIDE**2, KEYS if site.kind == "cross" else SIDE**2)
    together = edit_attention(batch, site, step, plans)
    for index, edit in enumerate(plans):
        alone = edit_attention(batch[[0, 1 + index, 4 + index]], site, step, [edit])
        torch.testing.assert_close(together[4 + index], alone[2])


@pytest.mark.parametrize(
    ("height", "width", "carried"),
    [(SELF_SIDE, SELF_SIDE, True), (SELF_SIDE // 2, 2 * SELF_SIDE, True), (SELF_SIDE + 1, SELF_SIDE, False)],
)
def test_self_attention_is_carried_up_to_a_size(
    tokenizer: CLIPTokenizer, height: int, width: int, carried: bool
) -> None:
    site, edit = AttentionSite("attn1", "self", height, width), plan(tokenizer, "a rose", "a cat", self_replace=0.5)
    batch = probs(3, 1, height * width, 5)
    for step, inside in ((0, True), (4, True), (5, False), (9, False)):
        edited = edit_attention(batch, site, step, [edit])
        assert torch.equal(edited[2], batch[0 if carried and inside else 2])
        assert torch.equal(edited[:2], batch[:2])
