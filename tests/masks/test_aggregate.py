import pytest
import torch

from masks.aggregate import AttentionMaps, normalize, word_heat


def random_probs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def test_a_words_heat_adds_its_tokens_and_averages_the_steps() -> None:
    maps = AttentionMaps(random_probs(4, 6, 9), random_probs(6, 6), height=2, width=3)
    expected = maps.cross[..., 2] + maps.cross[..., 5]
    torch.testing.assert_close(word_heat(maps, (2, 5)), expected.mean(0).reshape(2, 3))
    torch.testing.assert_close(word_heat(maps, (2, 5), step=3), expected[3].reshape(2, 3))
    spread = maps.pixels @ (maps.pixels @ expected.mean(0))
    torch.testing.assert_close(word_heat(maps, (2, 5), spread=2), spread.reshape(2, 3))


def test_spreading_fills_what_the_pixels_hold_together() -> None:
    halves = torch.block_diag(torch.full((3, 3), 1 / 3), torch.full((3, 3), 1 / 3))
    cross = torch.zeros(1, 6, 2)
    cross[0, 1, 1] = 0.9
    filled = word_heat(AttentionMaps(cross, halves, height=2, width=3), (1,), spread=1)
    torch.testing.assert_close(filled, torch.tensor([[0.3, 0.3, 0.3], [0, 0, 0]]))


def test_normalize_stretches_to_the_whole_range() -> None:
    heat = 3 + 0.01 * torch.rand(4, 5)
    stretched = normalize(heat)
    assert float(stretched.min()) == 0
    assert float(stretched.max()) == pytest.approx(1)
    assert torch.equal(stretched.flatten().argsort(), heat.flatten().argsort())


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_map_normalizes_to_zero(value: float) -> None:
    assert torch.equal(normalize(torch.full((3, 4), value)), torch.zeros(3, 4))
