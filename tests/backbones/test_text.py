import logging

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPTokenizer, T5TokenizerFast

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.text import parse_caption


def test_words_stand_on_their_tokens(tokenizer: CLIPTokenizer) -> None:
    caption = parse_caption(tokenizer, "a red tulip, on a table")
    assert {word.text: word.positions for word in caption.words[1:]} == {
        "red": (2,), "tulip": (3, 4, 5, 6, 7), ",": (8,), "on": (9,), "a": (10,), "table": (11,),
    }  # fmt: skip
    assert caption.words[0].positions == (1,)
    assert caption.end == 12
    tokens = tokenizer.convert_ids_to_tokens([caption.input_ids[i] for i in caption.find("tulip")[0].positions])
    assert "".join(tokens) == "tulip</w>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a photo of a red rose",
        "A Red ROSE!",
        "tulip-red hat's",
        "a rose...",
        "a cat?!",
        "(a cat), a dog; 2024",
        "“a cat”,",
        "a 'special' rose",
        "a sign that says 'stop'",
        "'tis a hat, 'm's and 'll",
        "a ’red’ rose",
        "the cats' hat",
    ],
)
def test_input_ids_are_the_tokenizers_own(tokenizer: CLIPTokenizer, text: str) -> None:
    expected = tokenizer(text, padding="max_length", truncation=True, max_length=24)["input_ids"]
    caption = parse_caption(tokenizer, text)
    assert not caption.cut
    assert list(caption.input_ids) == list(expected)


def test_positions_cover_every_token_once(tokenizer: CLIPTokenizer) -> None:
    caption = parse_caption(tokenizer, "a close-up photo, of a cat!")
    assert [p for word in caption.words for p in word.positions] == list(range(1, caption.end))


def test_a_caption_that_is_too_long_is_cut_without_a_word_from_the_library(
    tokenizer: CLIPTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    try:
        assert parse_caption(tokenizer, "a photo of a red rose " * 20).cut
    finally:
        library.removeHandler(caplog.handler)
    assert not caplog.messages


def test_a_caption_is_cut_at_a_word_and_keeps_its_end(tokenizer: CLIPTokenizer) -> None:
    caption = parse_caption(tokenizer, "a " * 20 + "tulip cat")
    assert caption.cut == ("tulip", "cat")
    assert caption.words[-1].positions == ()
    assert caption.end == 21
    assert len(caption.input_ids) == 24
    assert caption.input_ids[21] == tokenizer.eos_token_id
    full = parse_caption(tokenizer, "a " * 22)
    assert not full.cut
    assert full.end == 23


@pytest.mark.parametrize(
    ("name", "found"),
    [("rose", ["Rose", "rose"]), ("ROSE!", ["Rose", "rose"]), ("red rose", ["Rose", "red", "rose"]), (",", [","])],
)
def test_find_is_every_occurrence(tokenizer: CLIPTokenizer, name: str, found: list[str]) -> None:
    caption = parse_caption(tokenizer, "a Rose, a red rose")
    assert [word.text for word in caption.find(name)] == found


@pytest.mark.parametrize("name", ["stop", "'stop'", "STOP"])
def test_a_quoted_word_is_found_without_its_quotes(tokenizer: CLIPTokenizer, name: str) -> None:
    quoted = parse_caption(tokenizer, "a rose that says 'stop'")
    assert [word.key for word in quoted.words] == ["a", "rose", "that", "says", "stop", "'"]
    assert [word.text for word in quoted.find(name)] == ["'stop"]


def test_letters_and_their_marks_may_be_typed_apart(tokenizer: CLIPTokenizer) -> None:
    apart, composed = (parse_caption(tokenizer, text) for text in ("a cafe\u0301 rose", "a caf\u00e9 rose"))
    assert apart == composed and apart.find("cafe\u0301") == composed.find("caf\u00e9")


@pytest.mark.parametrize("name", ["tulip", "ros", "red tulip", "", " "])
def test_find_refuses_what_the_caption_lacks(tokenizer: CLIPTokenizer, name: str) -> None:
    with pytest.raises(EditRealError, match=r"\('a', 'red', 'rose'\)") as caught:
        parse_caption(tokenizer, "a red rose").find(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "kind"), [(None, "NoneType"), (3, "int"), (["a cat"], "list"), (b"a cat", "bytes")])
def test_a_caption_is_text(tokenizer: CLIPTokenizer, text: object, kind: str) -> None:
    with pytest.raises(EditRealError, match=f"got {kind}"):
        parse_caption(tokenizer, text)


def test_conditions_in_a_batch_equal_those_alone(backbone: Backbone) -> None:
    texts = ["a red rose", "", "a cat with a hat"]
    together = backbone.condition([texts[0], parse_caption(backbone.tokenizer, texts[1]), texts[2]])
    assert together.embeds.shape == (3, 24, 16)
    assert together.embeds.dtype == torch.float32
    for row, text in enumerate(texts):
        torch.testing.assert_close(together[row].embeds, backbone.condition([text]).embeds)
    assert not torch.allclose(together[0].embeds, together[2].embeds, atol=1e-3)


def test_a_space_that_is_a_token_belongs_to_the_word_behind_it() -> None:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -1.0) for letter in "▁acdert")]
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    letters = T5TokenizerFast(tokenizer_object=made, extra_ids=0, model_max_length=16)
    caption = parse_caption(letters, "a red cat ")
    assert [word.positions for word in caption.words] == [(0, 1), (2, 3, 4, 5), (6, 7, 8, 9)]
    assert caption.end == 10 and len(caption.input_ids) == 16
