"""The model asked which of two captions it sees in a picture, where a mask counts."""

from __future__ import annotations

import pytest
import torch

from backbones.backbone import Backbone
from backbones.levels import Prediction
from editing import witness
from editing.witness import gain, noise_errors
from tests.editing.edits import CAPTION, NEW

one_model = pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)


def errors_of(backbone: Backbone, latents: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    captions = backbone.parse(CAPTION), backbone.parse(NEW)
    weight = torch.ones(latents.shape[-2:]) if weight is None else weight
    return noise_errors(backbone, latents, captions, weight=weight)


@one_model
def test_an_error_is_the_mean_error_of_the_noise(backbone: Backbone, latents: torch.Tensor) -> None:
    captions = ["", "a photo of a cat", "a photo of a dog", "a photo of a cat"]
    errors = noise_errors(backbone, latents, captions, (0.25, 0.5), seed=3)
    assert errors.shape == (2, 4)
    generator, noises = torch.Generator().manual_seed(3), []
    for row, share in zip(errors, (0.25, 0.5), strict=True):
        timestep = round(share * (len(backbone.levels) - 1))
        level = backbone.levels.at(timestep)
        noises.append(torch.randn(latents.shape, generator=generator))
        noisy = level.signal * latents + level.noise * noises[-1]
        for error, caption in zip(row, captions, strict=True):
            predicted = backbone.predict(noisy, timestep, backbone.condition([caption])).noise
            assert error == pytest.approx((predicted - noises[-1]).square().mean().item(), rel=1e-4)
    assert not torch.equal(*noises)
    assert torch.equal(errors, noise_errors(backbone, latents, captions, (0.25, 0.5), seed=3))


@one_model
def test_many_captions_go_in_several_batches(
    backbone: Backbone, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = ["a cat", "a dog", "a red rose", "a table", "a hat"]
    together = noise_errors(backbone, latents, captions, (0.5,))
    monkeypatch.setattr(witness, "ROWS_AT_ONCE", 2)
    torch.testing.assert_close(noise_errors(backbone, latents, captions, (0.5,)), together)


@one_model
def test_cells_that_count_nothing_say_nothing(
    backbone: Backbone, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(_: object, noisy: torch.Tensor, *__: object) -> Prediction:
        """Right in the left half, of whatever is right; wrong by the caption's row in the other."""
        return Prediction(noisy, torch.zeros_like(noisy))

    monkeypatch.setattr(Backbone, "predict", predict)
    left = torch.zeros(16, 16)
    left[:, :8] = 1
    both, half = errors_of(backbone, latents), errors_of(backbone, latents, left)
    other = errors_of(backbone, latents, 1 - left)
    torch.testing.assert_close(both, (half + other) / 2)  # the errors of zeros are the noise's own squares
    torch.testing.assert_close(errors_of(backbone, latents, left / 4), half)
    assert (half[:, 0] == half[:, 1]).all(), "both captions have the same noise"


@one_model
def test_rows_that_do_not_fit_at_once_are_asked_in_turn(
    backbone: Backbone, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = errors_of(backbone, latents)
    monkeypatch.setattr(witness, "rows_that_fit", lambda *_: 3.0)
    torch.testing.assert_close(errors_of(backbone, latents), together, rtol=1e-4, atol=1e-6)


def test_a_gain_is_the_share_by_which_the_new_caption_is_better() -> None:
    assert gain(torch.tensor([[1.0, 0.9], [1.0, 0.7]])) == pytest.approx(0.2)
    assert gain(torch.tensor([[1.0, 1.5], [3.0, 2.5]])) == pytest.approx(0.0)
