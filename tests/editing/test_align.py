import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from backbones.errors import EditRealError
from backbones.text import parse_caption
from editing.align import Alignment, align_captions, edited_words, new_words, only_colors_change, reweighted_words


def align(tokenizer: CLIPTokenizer, source: str, target: str) -> Alignment:
    return align_captions(parse_caption(tokenizer, source), parse_caption(tokenizer, target))


def texts(alignment: Alignment) -> dict[str, object]:
    source, target = alignment.source.words, alignment.target.words
    return {
        "swaps": [(source[i].text, target[j].text) for i, j in alignment.swaps],
        "removed": [source[i].text for i in alignment.removed],
        "added": [target[j].text for j in alignment.added],
    }


@pytest.mark.parametrize(
    ("source", "target", "swaps", "removed", "added"),
    [
        ("a red rose", "a red cat", [("rose", "cat")], [], []),
        ("a rose", "a red rose", [], [], ["red"]),
        ("a red rose", "a rose", [], ["red"], []),
        ("a rose", "a yellow tulip", [("rose", "tulip")], [], ["yellow"]),
        ("a red rose", "a cat", [("rose", "cat")], ["red"], []),
        ("a cat on a table", "a cat with a hat on a table", [], [], ["with", "a", "hat"]),
        ("A Red ROSE.", "a red rose", [], [], []),
        ("a  red   rose", "a red rose", [], [], []),
        ("a cat and a dog", "a dog and a cat", [], [], []),
        ("a cat, a dog", "a cat and a dog", [], [], ["and"]),
        ("a red rose and a white tulip", "a white rose and a red tulip", [("red", "white"), ("white", "red")], [], []),
        (
            "a red rose and a white tulip",
            "a red tulip and a white rose",
            [("rose", "tulip"), ("tulip", "rose")],
            [],
            [],
        ),
        ("a red rose and a white tulip", "a white tulip and a red rose", [], [], []),
        ("a cat and a dog", "a white dog and a cat", [], [], ["white"]),
        ("a small red cat", "a red small cat", [], [], []),
        ("a red rose and a tulip", "a rose and a red tulip", [], ["red"], ["red"]),
        ("a red rose", "a rose that is red", [], [], ["that", "is"]),
        ("", "a cat", [], [], ["a", "cat"]),
        ("a cat", "", [], ["a", "cat"], []),
    ],
)
def test_words(tokenizer: CLIPTokenizer, source: str, target: str, swaps: list, removed: list, added: list) -> None:
    alignment = align(tokenizer, source, target)
    found = texts(alignment)
    assert found["swaps"] == swaps
    assert [word for word in found["removed"] if word not in ",."] == removed
    assert found["added"] == added


@pytest.mark.parametrize("target", ["a rose", "the rose.", "a photo of a rose", "a picture of the rose", "roses"])
def test_what_says_the_same_changes_nothing(tokenizer: CLIPTokenizer, target: str) -> None:
    assert align(tokenizer, "a photo of a rose", target).changes_nothing
    assert not align(tokenizer, "a photo of a rose", target + " with a hat").changes_nothing


def test_the_same_caption_changes_nothing(tokenizer: CLIPTokenizer) -> None:
    alignment = align(tokenizer, "a photo of a tulip", "A photo of a tulip")
    assert alignment.changes_nothing
    assert torch.equal(alignment.carry_matrix(), torch.eye(24))


def test_a_moved_word_keeps_its_attention(tokenizer: CLIPTokenizer) -> None:
    alignment = align(tokenizer, "a cat and a dog", "a dog and a cat")
    assert not alignment.changes_nothing and alignment.moved
    matrix = alignment.carry_matrix()
    assert matrix[alignment.source.find("dog")[0].positions[0], alignment.target.find("dog")[0].positions[0]] == 1
    assert matrix[alignment.source.find("cat")[0].positions[0], alignment.target.find("cat")[0].positions[0]] == 1


def test_unequal_token_counts_do_not_shift_the_rest(tokenizer: CLIPTokenizer) -> None:
    """The published replace mapper ignores the shift after a word of another length."""
    alignment = align(tokenizer, "a rose with a hat", "a tulip with a hat")
    assert len(alignment.source.words[1].positions) == 1 and len(alignment.target.words[1].positions) == 5
    matrix = alignment.carry_matrix()
    hat_before, hat_after = (c.find("hat")[0].positions[0] for c in (alignment.source, alignment.target))
    assert hat_after == hat_before + 4
    assert matrix[hat_before, hat_after] == 1 and matrix[hat_before].sum() == 1


def test_a_swapped_word_shares_among_its_tokens(tokenizer: CLIPTokenizer) -> None:
    alignment = align(tokenizer, "a rose", "a tulip")
    row = alignment.carry_matrix()[2]
    assert torch.equal(row[2:7], torch.full((5,), 0.2)) and float(row.sum()) == pytest.approx(1)
    back = align(tokenizer, "a tulip", "a rose").carry_matrix()
    assert torch.equal(back[2:7, 2], torch.ones(5))


def test_repeated_words_stay_in_their_places(tokenizer: CLIPTokenizer) -> None:
    alignment = align(tokenizer, "a red cat with a red hat", "a red cat with a green hat")
    assert texts(alignment)["swaps"] == [("red", "green")]
    assert alignment.swaps == ((5, 5),)


def test_case_and_punctuation_find_the_word(tokenizer: CLIPTokenizer) -> None:
    """A blend word that differed in case or punctuation gave an empty mask and a silent no-edit."""
    caption = parse_caption(tokenizer, "A photo of a  Red rose, on a table.")
    assert caption.find("rose")[0].text == "rose"
    assert caption.find("ROSE,")[0].text == "rose"
    assert [word.text for word in caption.find("red")] == ["Red"]
    with pytest.raises(EditRealError, match="'tulip'"):
        caption.find("tulip")


CAPTIONS = st.lists(st.sampled_from("a red rose cat tulip, with dog green - hat".split()), max_size=9).map(" ".join)


@given(source=CAPTIONS, target=CAPTIONS)
def test_attention_is_handed_over_whole_or_not_at_all(tokenizer: CLIPTokenizer, source: str, target: str) -> None:
    alignment = align(tokenizer, source, target)
    sums = alignment.carry_matrix().sum(-1)
    removed = {p for i in alignment.removed for p in alignment.source.words[i].positions}
    cut = {p for i, j in (*alignment.matches, *alignment.swaps) if not alignment.target.words[j].positions
           for p in alignment.source.words[i].positions}  # fmt: skip
    for position, total in enumerate(sums.tolist()):
        assert total == pytest.approx(0 if position in removed | cut else 1, abs=1e-5)
    fresh = alignment.fresh_tokens()
    assert not (alignment.carry_matrix()[:, fresh] > 0).any()


@pytest.mark.parametrize(
    ("source", "target", "source_words", "target_words"),
    [
        ("a photo of a red rose", "a photo of a green rose", ["red", "rose"], ["green", "rose"]),
        ("a photo of a rose", "a photo of a red rose", ["rose"], ["red", "rose"]),
        ("red and white shorts", "green and white shorts", ["red", "shorts"], ["green", "shorts"]),
        ("the shorts are red", "the shorts are green", ["shorts", "red"], ["shorts", "green"]),
        ("a shirt", "a shirt that is blue", ["shirt"], ["shirt", "blue"]),
        ("yellow pears", "a red pear", ["yellow", "pears"], ["red", "pear"]),
        ("a red rose", "a red cat", ["rose"], ["cat"]),
        ("a cat on a table", "a cat with a hat on a table", [], ["hat"]),
        ("a cat with a hat", "a cat", ["hat"], []),
        ("a red cat sitting on a table", "a green cat sitting on a table", ["red", "cat"], ["green", "cat"]),
        ("a red cat with a hat", "a red cat with a green hat", ["hat"], ["green", "hat"]),
        ("a cat", "a cat", [], []),
        (
            "a red rose and a white tulip",
            "a white rose and a red tulip",
            ["red", "rose", "white", "tulip"],
            ["white", "rose", "red", "tulip"],
        ),
        ("a red rose with a vase", "a red rose without a vase", ["vase"], ["vase"]),
        ("a cat with a hat", "a cat with no hat", ["hat"], ["hat"]),
        ("a cat with no hat", "a cat with a hat", ["hat"], ["hat"]),
        ("a cat with a hat", "a cat with his hat", ["hat"], ["hat"]),
        ("a cat on a blue chair", "a cat under a blue chair", ["chair"], ["chair"]),
        ("a red building", "a blue building", ["red", "building"], ["blue", "building"]),
        ("a woman smiling at the camera", "a woman frowning at the camera", ["smiling"], ["frowning"]),
        ("a dog running in the grass", "a dog in the grass", ["running"], []),
        ("an old man painting a fence", "a young man painting a fence", ["old", "man"], ["young", "man"]),
        ("a drawing of a rose", "a painting of a rose", ["drawing"], ["painting"]),
        ("a cat", "a sleeping cat", ["cat"], ["cat"]),
        ("a dog chasing cats", "a dog watching cats", ["chasing"], ["watching"]),
        ("an old man painting fences", "a young man painting fences", ["old", "man"], ["young", "man"]),
        ("a large painting of a rose", "a large drawing of a rose", ["painting"], ["drawing"]),
        ("a photo of a rose", "a rose", [], []),
        ("a rose", "a photo of a rose", [], []),
        ("a photo of a red rose", "a picture of a white rose", ["red", "rose"], ["white", "rose"]),
        ("a cat", "the cat", [], []),
        ("a sleeping cat", "a smiling cat", ["cat"], ["cat"]),
        ("a bear with a flaring", "a bear", ["flaring"], []),
        ("a bear with a stocking", "a bear", ["stocking"], []),
    ],
)
def test_the_words_that_place_an_edit(
    tokenizer: CLIPTokenizer, source: str, target: str, source_words: list, target_words: list
) -> None:
    found = edited_words(align(tokenizer, source, target))
    assert [[word.text for word in words] for words in found] == [source_words, target_words]


@pytest.mark.parametrize(
    ("source", "target", "new"),
    [
        ("a smiling cat", "a frowning cat", ["frowning"]),
        ("a cat sitting", "a black cat sleeping", ["black", "sleeping"]),
        ("a cat with a hat", "a cat with no hat", []),
        ("a red rose", "the white roses", ["white"]),
    ],
)
def test_the_words_that_a_new_caption_brings(tokenizer: CLIPTokenizer, source: str, target: str, new: list) -> None:
    assert [word.text for word in new_words(align(tokenizer, source, target))] == new


def test_a_caption_beyond_the_tokens_is_cut_at_a_word(tokenizer: CLIPTokenizer) -> None:
    caption = parse_caption(tokenizer, "a photo of a rose with tulip tulip tulip tulip hat")
    assert caption.cut[0] == "tulip" and caption.cut[-1] == "hat"
    assert len(caption.input_ids) == 24 and caption.input_ids[-1] == tokenizer.eos_token_id
    with pytest.raises(EditRealError, match="hat"):
        caption.find("hat")


def test_tokens_equal_the_tokenizers_own(tokenizer: CLIPTokenizer) -> None:
    text = "A photo, of a Close-up: it's a naïve red-rose!"
    caption = parse_caption(tokenizer, text)
    padded = tokenizer(text, padding="max_length", truncation=True)["input_ids"]
    kept = caption.end
    assert list(caption.input_ids[:kept]) == list(padded[:kept])


@pytest.mark.parametrize(
    ("old", "new", "reweighted", "expected"),
    [
        ("a photo of a red rose", "a photo of a white rose", (), True),
        ("a photo of a rose", "a photo of a dark red rose", (), True),
        ("a photo of a white rose", "a photo of a rose", (), True),
        ("a red rose and a white cat", "a pink rose and a black cat", (), True),
        ("a photo of a red rose", "a photo of a red rose", ("red",), True),
        ("a photo of a red rose", "a photo of a red rose", ("rose",), False),
        ("a photo of a red rose", "a photo of a red cat", (), False),
        ("a photo of a red rose", "a photo of a white cat", (), False),
        ("a photo of a red rose", "a photo of a furry rose", (), False),
        ("a white dog running", "a black dog jumping", (), False),
        ("a red rose with a vase", "a white rose without a vase", (), False),
        ("a red rose", "an orange rose", (), True),
        ("a red building", "an orange building", (), True),
        ("a red rose and a white tulip", "a white rose and a red tulip", (), True),
        ("a dark-blue coat", "a light-blue coat", (), True),
        ("an olive tree", "a tomato tree", (), False),
        ("red and white shorts", "green and white shorts", (), True),
        ("a white shirt", "a blue and green shirt", (), True),
        ("a white shirt", "a blue, green shirt", (), True),
        ("a black-and-white dress", "a red-and-white dress", (), True),
        ("the shorts are red", "the shorts are green", (), True),
        ("a red rose", "a rose that is white", (), True),
        ("the roses are red and white, the sky is blue", "the roses are pink and white, the sky is blue", (), True),
        ("a shirt, red", "a shirt, blue", (), True),
        ("a photo of yellow pears", "a photo of a red pear", (), True),
        ("red strawberries", "a green strawberry", (), True),
        ("a gray dress", "a grey dress", (), False),
        ("a pink rose", "a lilac rose", (), True),
        ("red apples and pears", "red apples and plums", (), False),
        ("the flower is an orange", "the flower is a lemon", (), False),
        ("a cat and a dog", "a cat or a bird", (), False),
        ("an orange on a table", "a lime on a table", (), False),
        ("a photo of a rose", "a photo of a rose with a white background", (), False),
        ("a photo of a red rose", "a photo of a red rose", (), False),
    ],
)
def test_a_change_of_colours_alone_is_told_from_others(
    tokenizer: CLIPTokenizer, old: str, new: str, reweighted: tuple[str, ...], expected: bool
) -> None:
    alignment = align(tokenizer, old, new)
    assert only_colors_change(alignment, reweighted_words(alignment, reweighted)) == expected
