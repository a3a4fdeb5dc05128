import pytest
import torch

from backbones.attention import AttentionSite, attention_sites, controlled_attention
from backbones.backbone import Backbone
from backbones.text import encode_prompt
from masks.aggregate import AttentionMaps, AttentionRecorder, normalize, record_maps, word_heat

CROSS = [AttentionSite(f"cross.{i}", "cross", 2, 3) for i in range(2)]
PIXELS = [AttentionSite(f"self.{i}", "self", 2, 3) for i in range(3)]
FINER = [AttentionSite("cross.fine", "cross", 4, 6), AttentionSite("self.fine", "self", 4, 6)]


def random_probs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def test_maps_are_means_over_heads_and_layers_by_step() -> None:
    recorder = AttentionRecorder([*FINER, *CROSS, *PIXELS], side=2)
    cross = random_probs(3, 2, 4, 5, 6, 7)  # steps, layers, rows, heads, queries, keys
    pixels = random_probs(3, 3, 4, 5, 6, 6, seed=1)
    for step in (2, 0, 1):  # in whatever order they come
        for layer, site in enumerate(CROSS):
            recorder.record(cross[step, layer], site, step)
        for layer, site in enumerate(PIXELS):
            recorder.record(pixels[step, layer], site, step)
    for row in range(4):
        maps = recorder.maps(row)
        assert (maps.height, maps.width) == (2, 3)
        torch.testing.assert_close(maps.cross, cross[:, :, row].mean((1, 2)))
        torch.testing.assert_close(maps.pixels, pixels[:, :, row].mean((0, 1, 2)))
        torch.testing.assert_close(maps.pixels.sum(-1), torch.ones(6))


def test_other_resolutions_are_ignored() -> None:
    recorder = AttentionRecorder([*CROSS, *PIXELS, *FINER], side=2)
    assert set(recorder.sites) == {*CROSS, *PIXELS}
    for site in FINER:
        recorder.record(random_probs(1, 2, 24, 7 if site.kind == "cross" else 24), site, 0)
    with pytest.raises(RuntimeError, match="nothing"):
        recorder.maps(0)


@pytest.mark.parametrize(("side", "expected"), [(1, (2, 3)), (3, (2, 3)), (5, (4, 6)), (64, (4, 6))])
def test_the_recorder_takes_the_resolution_nearest_to_its_side(side: int, expected: tuple[int, int]) -> None:
    recorder = AttentionRecorder([*CROSS, *PIXELS, *FINER], side=side)
    assert (recorder.height, recorder.width) == expected


@pytest.mark.parametrize("levels", [1, 3, 19])
def test_noise_levels_in_batches_equal_one_by_one(backbone: Backbone, levels: int) -> None:
    latents = torch.randn(levels, 4, 16, 12, generator=torch.Generator().manual_seed(0))
    timesteps = [int(t) for t in torch.linspace(900, 10, levels)]
    embeds = encode_prompt(backbone, "a red rose")
    together = record_maps(backbone, latents, timesteps, embeds)
    alone = [record_maps(backbone, latents[i : i + 1], timesteps[i : i + 1], embeds) for i in range(levels)]
    torch.testing.assert_close(together.cross, torch.cat([maps.cross for maps in alone]), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        together.pixels, torch.stack([maps.pixels for maps in alone]).mean(0), rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(together.cross.sum(-1), torch.ones(levels, 16 * 12), rtol=1e-4, atol=1e-4)


def test_recorded_maps_are_what_the_layers_attend_to(backbone: Backbone, latents: torch.Tensor) -> None:
    seen: list[torch.Tensor] = []
    embeds = encode_prompt(backbone, "a red rose")
    maps = record_maps(backbone, latents, [500], embeds)
    sites = [site for site in attention_sites(backbone.unet, 16, 16) if site.kind == "cross" and site.height == 16]
    with torch.no_grad(), controlled_attention(backbone.unet, sites, lambda probs, _: seen.append(probs) or probs):
        backbone.noise_pred(latents, 500, embeds)
    assert len(seen) == len(sites) > 1
    torch.testing.assert_close(maps.cross[0], torch.stack(seen).mean((0, 2))[0])


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
