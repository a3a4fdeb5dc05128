import pytest
import torch

from backbones.condition import Condition, cat_conditions


def test_conditions_are_selected_expanded_and_joined_by_rows() -> None:
    one = Condition(torch.randn(3, 5, 4), torch.randn(3, 2), None)
    assert len(one) == 3
    assert torch.equal(one[1].embeds, one.embeds[1:2]) and torch.equal(one[-1].pooled, one.pooled[2:])
    assert torch.equal(one[1:].embeds, one.embeds[1:]) and one[0].extra is None
    wide = one[2].expand(4)
    assert wide.embeds.shape == (4, 5, 4) and wide.pooled.shape == (4, 2)
    joined = cat_conditions([one[0], one[1:]])
    assert torch.equal(joined.embeds, one.embeds) and torch.equal(joined.pooled, one.pooled)
    other = one.with_embeds(torch.zeros(3, 5, 4))
    assert torch.equal(other.pooled, one.pooled) and not other.embeds.any()


def test_conditions_of_different_families_do_not_mix() -> None:
    plain, pooled = Condition(torch.zeros(1, 5, 4)), Condition(torch.zeros(1, 5, 4), torch.zeros(1, 2))
    with pytest.raises(AssertionError, match="different families"):
        cat_conditions([plain, pooled])
