from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from backbones.errors import EditRealError
from benchmarks.footprint import BUNDLED, footprint, main, published_footprint
from benchmarks.meta import META, live_tensors

MIB = 2**20


def held(rows: int) -> torch.Tensor:
    """A MiB a row, on the meta device."""
    return torch.empty(rows, MIB, dtype=torch.uint8, device=META)


def test_an_edit_with_stable_diffusion_fits_into_three_gib() -> None:
    found = footprint("Stable Diffusion 1.5", torch.bfloat16, steps=1)
    assert found.edit / 1024 <= 3.0
    assert 2000 < found.weights < 2400
    assert list(found.phases) == ["encode", "invert", "null-text", "edit", "decode"]
    assert all(mib > 50 for mib in found.phases.values())


def test_the_published_way_holds_its_weights_gradients_and_probabilities() -> None:
    published, ours = published_footprint(BUNDLED), footprint(BUNDLED, torch.float32)
    assert published.weights == pytest.approx(ours.weights)
    assert list(published.phases) == ["invert", "null-text", "edit"]
    assert published.phases["null-text"] > 50  # of the UNet's weights
    assert published.edit > ours.edit


def test_what_is_held_is_counted_until_it_is_let_go() -> None:
    weight = held(1)
    with live_tensors(apart=[weight]) as live:
        with live.peak() as peak:
            kept = held(2)
            view = kept[1:].flatten()
            sum_of_both = held(3) + weight.expand(3, -1)
            del sum_of_both
        assert peak.bytes == 8 * MIB  # two kept, three and their sum
        assert live.now == 2 * MIB
        del kept
        assert live.now == 2 * MIB  # the view holds it
        del view
        assert live.now == 0


def test_fused_attention_stores_no_probabilities() -> None:
    side = 4096
    query, key, value = (torch.empty(1, 8, side, 40, device=META, requires_grad=True) for _ in range(3))
    with live_tensors(apart=[query, key, value]) as live, live.peak() as peak:
        F.scaled_dot_product_attention(query, key, value).sum().backward()
    assert query.grad is not None and query.grad.shape == query.shape
    assert peak.bytes < 8 * side * side


def test_another_models_time_is_refused() -> None:
    with pytest.raises(EditRealError, match=r"among bundled, Stable Diffusion 1\.5"):
        main(seconds="magic")
