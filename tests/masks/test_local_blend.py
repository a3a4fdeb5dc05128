import pytest
import torch

from masks.local_blend import blend_latents


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Three edits and their source, `(3, 4, 8, 12)` and `(1, 4, 8, 12)`."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 8, 12, generator=generator), torch.randn(1, 4, 8, 12, generator=generator)


def test_outside_the_mask_is_the_source_exactly(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, source = pair
    soft = torch.zeros(4, 6)
    soft[:, 3:] = 1
    blended = blend_latents(latents, source, soft)
    assert torch.equal(blended[..., :6], source[..., :6].expand(3, -1, -1, -1))
    assert torch.equal(blended[..., 6:], latents[..., 6:])


@pytest.mark.parametrize(("value", "edited"), [(0.0, False), (0.5, False), (0.51, True), (1.0, True)])
def test_the_boundary_is_a_half(pair: tuple[torch.Tensor, torch.Tensor], value: float, edited: bool) -> None:
    latents, source = pair
    blended = blend_latents(latents, source, torch.full((5, 5), value))
    assert torch.equal(blended, latents if edited else source.expand_as(latents))


@pytest.mark.parametrize("size", [(8, 12), (4, 6), (16, 24), (3, 5)])
def test_every_edit_may_have_a_mask_of_its_own(pair: tuple[torch.Tensor, torch.Tensor], size: tuple[int, int]) -> None:
    latents, source = pair
    soft = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    together = blend_latents(latents, source, soft)
    alone = [blend_latents(latents[i : i + 1], source, soft[i]) for i in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert ((together == latents) | (together == source)).all()


def test_cells_are_edited_whatever_the_mask_says(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, source = pair
    soft, cells = torch.zeros(4, 6), torch.zeros(8, 12, dtype=torch.bool)
    soft[:, 3:], cells[2, 1] = 1, True
    blended = blend_latents(latents, source, soft, cells)
    without = blend_latents(latents, source, soft)
    assert torch.equal(blended[..., cells], latents[..., cells])
    assert torch.equal(blended[..., ~cells], without[..., ~cells])


def test_the_inputs_are_left_alone(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    before = [tensor.clone() for tensor in pair]
    blend_latents(*pair, torch.eye(8)).zero_()
    assert all(torch.equal(a, b) for a, b in zip(pair, before, strict=True))
