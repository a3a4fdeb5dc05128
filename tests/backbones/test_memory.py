"""Where networks are put by the memory that is free, with stand-ins for cards and their memory."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from backbones import latents as latents_module
from backbones import loading
from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone, settle
from backbones.memory import GIB, SHARE_OF_FREE, plan_stays, tell_stays
from editing.editor import Editor
from tests.editing.edits import assert_untouched_outside, edit, picture


def of_gib(size: float) -> nn.Module:
    """A network with weights of that size, none of which are there."""
    return nn.Linear(int(size * GIB / 4), 1, bias=False, device="meta")


NETWORKS = {"unet": of_gib(5), "text_encoder": of_gib(2), "text_encoder_2": of_gib(9), "vae": of_gib(0.5)}


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (24, ("stays", "stays", "stays", "stays")),
        (18, ("stays", "visits", "visits", "visits")),
        (12, ("stays", "visits", "layers", "visits")),
        (6, ("layers", "visits", "layers", "visits")),
    ],
)
def test_the_denoiser_stays_before_all_others(free: float, expected: tuple[str, ...]) -> None:
    working = 2 * GIB
    stays = plan_stays(NETWORKS, int(free * GIB), working)
    assert tuple(stays.values()) == expected
    resident = sum(size for size, stay in zip((5, 2, 9, 0.5), expected, strict=True) if stay == "stays")
    assert resident * GIB <= SHARE_OF_FREE * free * GIB - working
    told = tell_stays(stays, NETWORKS, int(free * GIB))
    assert (told is None) == (set(expected) == {"stays"})
    if told:
        assert "\n" not in told and f"{free:.1f} GiB are free" in told and "16.5 GiB" in told
        assert ("layer by layer" in told) == ("layers" in expected)


class Card:
    """A device that says it is a card, and computes on the CPU."""

    type = "cuda"


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_a_model_whose_layers_come_one_by_one_gives_the_same(
    model_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_backbone(model_folder, "cpu")
    before = loaded.fingerprint
    monkeypatch.setattr(loading, "free_memory", lambda _: 0)
    monkeypatch.setattr("accelerate.cpu_offload", _offload_on_the_cpu)
    networks = {"unet": loaded.denoiser, "vae": loaded.vae, "text_encoder": loaded.text_encoders[0]}
    with pytest.warns(UserWarning, match=r"unet, vae, text_encoder come to the card layer by layer"):
        settle(dataclasses.replace(loaded, device=Card()), networks)
    assert {parameter.device.type for parameter in loaded.denoiser.parameters()} == {"meta"}
    assert loaded.fingerprint == before
    ours, theirs = (edit(Editor(one), picture()) for one in (loaded, backbone))
    assert ours.image.tobytes() == theirs.image.tobytes()
    assert_untouched_outside(ours, picture())


def _offload_on_the_cpu(network: nn.Module, execution_device: object) -> None:
    from accelerate.big_modeling import cpu_offload

    cpu_offload(network, execution_device=torch.device("cpu"))


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_networks_that_visit_go_back(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    away = type("Network", (), {"device": torch.device("cpu"), "to": lambda self, where: moved.append(str(where))})()
    here = type("Network", (), {"device": torch.device("meta"), "to": lambda self, where: moved.append("in vain")})()
    there = dataclasses.replace(backbone, device=torch.device("meta"))

    def fail() -> None:
        with there.visited_by(away, here, None):
            assert moved == ["meta"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert moved == ["meta", "cpu"]


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_large_pictures_go_through_the_autoencoder_tile_by_tile(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latents_module, "TILE", 16)
    pixels = torch.rand(1, 3, 48, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = backbone.encode(pixels), backbone.decode(backbone.encode(pixels))
    monkeypatch.setattr(latents_module, "free_memory", lambda _: 1)
    rows: list[tuple[int, ...]] = []
    handle = backbone.vae.encoder.register_forward_pre_hook(lambda _, args: rows.append(tuple(args[0].shape[-2:])))
    try:
        with pytest.warns(UserWarning, match="32x48 pixels would take .* tile by tile"):
            tiled = backbone.encode(pixels), backbone.decode(whole[0])
    finally:
        handle.remove()
    assert len(rows) > 1 and max(max(row) for row in rows) <= 16
    assert [part.shape for part in tiled] == [part.shape for part in whole]
    assert not backbone.vae.use_tiling, "what was found is put back"


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_weights_of_a_variant_are_found(model_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    for part in ("unet", "vae", "text_encoder"):
        plain = next((folder / part).glob("*.safetensors"))
        plain.rename(plain.with_suffix(".fp16.safetensors"))
    assert load_backbone(folder, "cpu").fingerprint == backbone.fingerprint, "the only ones that there are"
    assert load_backbone(folder, "cpu", variant="fp16").fingerprint == backbone.fingerprint
    with pytest.raises(EditRealError, match=r"variant 'ema' in .*unet, got 'fp16'"):
        load_backbone(folder, "cpu", variant="ema")
    with pytest.raises(EditRealError, match="got plain ones; leave variant out"):
        load_backbone(model_folder, "cpu", variant="fp16")
