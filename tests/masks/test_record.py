import pytest
import torch

from backbones.attention import Control, Site, attention, attention_probs, controlled
from backbones.backbone import Backbone
from masks.record import Recorder, map_sites, record_maps


def site(name: str, kind: str, height: int, width: int, share: float = 1.0) -> Site:
    return Site(name, kind, "decoder", 0, height, width, share)


CROSS = [site(f"cross.{i}", "cross", 2, 3) for i in range(2)]
PIXELS = [site(f"self.{i}", "self", 2, 3) for i in range(3)]
ROWS, HEADS, QUERIES, KEYS, WIDTH = 4, 5, 6, 7, 8


def tensors(keys: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values with heads."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(ROWS, HEADS, QUERIES, WIDTH, generator=generator)
    key, value = torch.randn(2, ROWS, HEADS, keys, WIDTH, generator=generator)
    return query, key, value


@pytest.mark.parametrize("rows", [slice(None), slice(1, 3)])
def test_maps_are_means_over_heads_layers_and_steps(rows: slice) -> None:
    recorder = Recorder([*CROSS, *PIXELS], rows)
    seen: dict[str, list[torch.Tensor]] = {"cross": [], "self": []}
    for step in range(3):
        for layer, at in enumerate([*CROSS, *PIXELS]):
            query, key, value = tensors(KEYS if at.kind == "cross" else QUERIES, seed=10 * step + layer)
            torch.testing.assert_close(
                recorder.attend(at, query, key, value, step), attention(query, key, value), rtol=1e-4, atol=1e-5
            )
            seen[at.kind].append(attention_probs(query, key)[rows].mean(1))
    for row in range(len(range(ROWS)[rows])):
        maps = recorder.maps(row)
        assert (maps.height, maps.width) == (2, 3)
        torch.testing.assert_close(maps.cross, torch.stack(seen["cross"]).mean(0)[row : row + 1])
        torch.testing.assert_close(maps.pixels, torch.stack(seen["self"]).mean(0)[row])
        torch.testing.assert_close(maps.pixels.sum(-1), torch.ones(QUERIES))


def test_nothing_recorded_is_said() -> None:
    with pytest.raises(RuntimeError, match="nothing"):
        Recorder([*CROSS, *PIXELS]).maps(0)


class Halved(Control):
    """Halves what one site gathers, and a residual branch."""

    def sites(self, step: int) -> list[Site]:
        return [CROSS[1], site("elsewhere", "cross", 4, 6)] if step == 0 else []

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        return attention(query, key, value) / 2

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        return hidden / 2


def test_a_control_inside_acts_at_its_own_sites_and_steps_and_is_not_recorded() -> None:
    recorder = Recorder([*CROSS, *PIXELS], inside=Halved())
    assert set(recorder.sites(0)) == {*CROSS, *PIXELS, site("elsewhere", "cross", 4, 6)}
    assert set(recorder.sites(1)) == {*CROSS, *PIXELS}
    query, key, value = tensors(KEYS, seed=0)
    plain = attention(query, key, value)
    for at, step, factor in ((CROSS[0], 0, 1), (CROSS[1], 0, 2), (CROSS[1], 1, 1)):
        torch.testing.assert_close(recorder.attend(at, query, key, value, step) * factor, plain, rtol=1e-4, atol=1e-5)
    recorder.attend(PIXELS[0], *tensors(QUERIES, seed=1), 0)
    torch.testing.assert_close(recorder.maps(0).cross[0], attention_probs(query, key)[0].mean(0))
    assert float(recorder.features(CROSS[0], torch.ones(1), 0)) == 0.5


@pytest.mark.parametrize(
    ("latents", "expected"),
    [((64, 64), 16), ((96, 96), 24), ((16, 16), 16), ((128, 128), 32), ((80, 48), 15.49)],
    ids=["SD at 512", "SD at 768", "bundled", "1024", "portrait"],
)
def test_maps_are_taken_at_a_quarter_of_the_latents_side_but_not_too_coarse(
    latents: tuple[int, int], expected: float
) -> None:
    height, width = latents
    sites = [
        site(f"{kind}.{halvings}", kind, height // 2**halvings, width // 2**halvings, 0.5**halvings)
        for halvings in range(4)
        for kind in ("self", "cross", "residual")
    ]
    chosen = map_sites(sites)
    assert {one.kind for one in chosen} == {"cross", "self"}
    assert chosen[0].side == pytest.approx(expected, abs=0.01)


def test_a_model_without_cross_attention_is_an_error() -> None:
    with pytest.raises(ValueError, match="cross-attention"):
        map_sites(PIXELS)


@pytest.mark.parametrize("levels", [1, 3, 19])
def test_noise_levels_in_batches_equal_one_by_one(backbone: Backbone, levels: int) -> None:
    latents = torch.randn(levels, 4, 16, 12, generator=torch.Generator().manual_seed(0))
    timesteps = [int(t) for t in torch.linspace(900, 10, levels)]
    condition = backbone.condition(["a red rose"])
    together = record_maps(backbone, latents, timesteps, condition)
    alone = [record_maps(backbone, latents[i : i + 1], timesteps[i : i + 1], condition) for i in range(levels)]
    torch.testing.assert_close(together.cross, torch.cat([maps.cross for maps in alone]), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        together.pixels, torch.stack([maps.pixels for maps in alone]).mean(0), rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(together.cross.sum(-1), torch.ones(levels, 16 * 12), rtol=1e-4, atol=1e-4)


def test_recorded_maps_are_what_the_layers_attend_to(backbone: Backbone, latents: torch.Tensor) -> None:
    condition, seen = backbone.condition(["a red rose"]), []
    maps = record_maps(backbone, latents, [500], condition)
    sites = [at for at in map_sites(backbone.sites(16, 16)) if at.kind == "cross"]

    class Look(Control):
        def sites(self, step: int) -> list[Site]:
            return sites

        def attend(
            self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
        ) -> torch.Tensor:
            seen.append(attention_probs(query, key))
            return attention(query, key, value)

    with torch.no_grad(), controlled(backbone, Look(), step=0):
        backbone.denoise(latents, 500, condition)
    assert len(seen) == len(sites) > 1
    torch.testing.assert_close(maps.cross[0], torch.stack(seen).mean((0, 2))[0])
