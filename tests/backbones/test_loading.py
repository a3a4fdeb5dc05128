import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as of_diffusers
from transformers.utils import logging as of_transformers

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.fingerprint import spread
from backbones.finite import check_finite
from backbones.loading import load_backbone
from backbones.quiet import quiet_reading

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pipeline to damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def message_of(model: str | Path) -> str:
    with pytest.raises(EditRealError) as caught:
        load_backbone(model, device="cpu")
    message = str(caught.value)
    assert message.startswith("expected ")
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def test_weights_are_frozen_and_float32_on_the_cpu(backbone: Backbone) -> None:
    for network in backbone.networks:
        assert not network.training
        for parameter in network.parameters():
            assert not parameter.requires_grad
            assert parameter.dtype == torch.float32
            assert parameter.device.type == "cpu"
    assert backbone.dtype == torch.float32
    assert backbone.device.type == "cpu"


def test_loading_shows_nothing_and_leaves_the_libraries_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    libraries = (of_diffusers, of_transformers)
    before = [(library.is_progress_bar_enabled(), library.get_verbosity()) for library in libraries]
    try:
        for library in libraries:
            library.enable_progress_bar()
            library.set_verbosity_warning()
        load_backbone("bundled", device="cpu")
        assert capfd.readouterr() == ("", "")
        assert all(library.is_progress_bar_enabled() for library in libraries)
        assert all(library.get_verbosity() == library.WARNING for library in libraries)
    finally:
        for library, (bars, verbosity) in zip(libraries, before, strict=True):
            (library.enable_progress_bar if bars else library.disable_progress_bar)()
            library.set_verbosity(verbosity)


def test_two_readers_at_once_leave_the_libraries_as_they_were() -> None:
    before = of_diffusers.get_verbosity()
    of_diffusers.set_verbosity_warning()
    inside, first_is_out = threading.Event(), threading.Event()

    def first() -> None:
        with quiet_reading():
            inside.set()
            time.sleep(0.1)  # in which the second comes, and has to wait
        first_is_out.set()

    def second() -> None:
        inside.wait(10)
        with quiet_reading():  # were it inside with the first, it would leave last and put back what that one has set
            first_is_out.wait(10)

    threads = [threading.Thread(target=reader) for reader in (first, second)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert of_diffusers.get_verbosity() == of_diffusers.WARNING
    finally:
        of_diffusers.set_verbosity(before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_numbers_of_a_fingerprint_do_not_depend_on_how_a_weight_lies(layout: torch.memory_format) -> None:
    weight = torch.randn(31, 17, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = weight.flatten()[:: weight.numel() // 1024]
    assert torch.equal(spread(weight.to(memory_format=layout)), expected)


def test_the_scheduler_is_read(backbone: Backbone, model_folder: Path) -> None:
    levels = backbone.levels
    assert levels.prediction_type == model_folder.name
    assert levels.signal.dtype == levels.noise.dtype == torch.float64
    assert len(levels) == 1000
    torch.testing.assert_close(levels.signal**2 + levels.noise**2, torch.ones(1000, dtype=torch.float64))
    assert levels.final == levels.at(0)  # set_alpha_to_one is False
    assert (levels.steps_offset, levels.timestep_spacing) == (1, "leading")
    assert backbone.known_words is None and backbone.words == {}
    assert backbone.guidance(None) == 7.5 and backbone.guidance(3.0) == 3.0


def test_what_a_model_says_of_itself_is_read(folder: Path) -> None:
    own = {"known_words": ["rose", "cat"], "words": {"flowers": ["rose"], "pets": ["cat"]}, "guidance_scale": 3}
    (folder / "edit_real.json").write_text(json.dumps(own))
    backbone = load_backbone(folder, device="cpu")
    assert backbone.known_words == {"rose", "cat"}
    assert backbone.words == {"flowers": ("rose",), "pets": ("cat",)}
    assert backbone.guidance_scale == 3.0


def test_sizes_follow_the_networks(backbone: Backbone) -> None:
    assert (backbone.vae_factor, backbone.image_size, backbone.size_multiple) == (2, 32, 4)
    assert backbone.latent_channels == 4
    assert backbone.encode(torch.zeros(1, 3, 32, 24)).shape == (1, 4, 16, 12)
    assert backbone.decode(torch.zeros(2, 4, 16, 12)).shape == (2, 3, 32, 24)


def test_bfloat16_is_the_networks_and_not_the_autoencoders(
    model_folder: Path, backbone: Backbone, latents: torch.Tensor
) -> None:
    loaded = load_backbone(model_folder, device="cpu", dtype=torch.bfloat16)
    assert [next(network.parameters()).dtype for network in (loaded.denoiser, loaded.text_encoders[0], loaded.vae)] == [
        torch.bfloat16,
        torch.bfloat16,
        torch.float32,
    ]
    condition = loaded.condition(["a red rose"])
    with torch.no_grad():
        rough, exact = (model.predict(latents, 300, condition) for model in (loaded, backbone))
    assert {part.dtype for part in (condition.embeds, *rough)} == {torch.float32}
    torch.testing.assert_close(rough.noise, exact.noise, rtol=0.1, atol=0.1)


def test_a_timestep_for_each_row_equals_one_by_one(backbone: Backbone, latents: torch.Tensor) -> None:
    condition, rows = backbone.condition(["a red rose"]), torch.cat([latents, -latents])
    with torch.no_grad():
        together = backbone.predict(rows, torch.tensor([3, 900]), condition.expand(2))
        alone = [backbone.predict(rows[i : i + 1], t, condition) for i, t in enumerate((3, 900))]
    for part, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(part, torch.cat(parts), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("timestep", [0, 400, 999])
def test_a_prediction_makes_up_the_latents(backbone: Backbone, latents: torch.Tensor, timestep: int) -> None:
    condition, level = backbone.condition(["a red rose"]), backbone.levels.at(timestep)
    with torch.no_grad():
        seen = backbone.predict(latents, timestep, condition)
    torch.testing.assert_close(level.signal * seen.x0 + level.noise * seen.noise, latents, rtol=1e-4, atol=1e-4)


def test_diffusers_loads_the_same_folder(model_folder: Path, backbone: Backbone) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(model_folder, safety_checker=None, requires_safety_checker=False)
    for name, network in zip(("unet", "vae", "text_encoder"), backbone.networks, strict=True):
        theirs, ours = getattr(pipeline, name).state_dict(), network.state_dict()
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[key], ours[key]) for key in ours)


def test_two_loads_have_one_fingerprint(model_folder: Path, backbone: Backbone) -> None:
    assert load_backbone(str(model_folder), device="cpu").fingerprint == backbone.fingerprint


FINGERPRINT = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from backbones.loading import load_backbone
print(load_backbone("bundled", device="cpu").fingerprint)
"""


def test_the_fingerprint_is_the_same_on_any_number_of_cores() -> None:
    found = []
    for threads in (1, 2, 4):
        command = [sys.executable, "-c", FINGERPRINT, str(threads)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found.append(done.stdout.split()[-1])
    assert len(found[0]) == 32
    assert len(set(found)) == 1, found


@pytest.mark.parametrize("network", [0, 1, 2], ids=["unet", "vae", "text_encoder"])
def test_a_changed_weight_changes_the_fingerprint(model_folder: Path, backbone: Backbone, network: int) -> None:
    changed = load_backbone(model_folder, device="cpu")
    weight = next(changed.networks[network].parameters())
    weight[(0,) * weight.ndim] += 0.01
    assert changed.fingerprint != backbone.fingerprint


def test_weights_in_another_order_have_another_fingerprint(model_folder: Path, backbone: Backbone) -> None:
    changed = load_backbone(model_folder, device="cpu")
    bias = changed.denoiser.conv_in.bias
    bias.copy_(bias.flip(0))  # the same numbers, and the same sum
    assert changed.fingerprint != backbone.fingerprint


def zero_snr(folder: Path) -> None:
    config = folder / "scheduler" / "scheduler_config.json"
    change_json(config, rescale_betas_zero_snr=True, timestep_spacing="trailing")


@pytest.mark.parametrize("model_folder", ["v_prediction"], indirect=True)
def test_zero_terminal_snr_is_read_as_no_signal(folder: Path) -> None:
    zero_snr(folder)
    backbone = load_backbone(folder, device="cpu")
    assert backbone.levels.at(999) == (0.0, 1.0)
    with torch.no_grad():
        seen = backbone.predict(torch.randn(1, 4, 16, 16), 999, backbone.condition(["a cat"]))
    assert torch.isfinite(seen.x0).all()


@pytest.mark.parametrize("model_folder", ["epsilon"], indirect=True)
def test_zero_terminal_snr_that_predicts_the_noise_is_refused(folder: Path) -> None:
    zero_snr(folder)
    assert "rescale_betas_zero_snr" in message_of(folder)


def test_a_model_that_is_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert "'nonexistent/model'" in message_of("nonexistent/model")
    assert "'no such//name'" in message_of("no such//name")


def test_a_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    assert "without model_index.json" in message_of(tmp_path)


def break_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: shutil.rmtree(folder / "unet"), "without unet/"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "without tokenizer/"),
        (break_index, "readable JSON"),
        (lambda folder: change_json(folder / "unet" / "config.json", in_channels=9), "takes 9"),
        (
            lambda folder: change_json(
                folder / "model_index.json",
                _class_name="StableDiffusionXLPipeline",
                text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
            ),
            "without text_encoder_2/, tokenizer_2/",
        ),
        (
            lambda folder: change_json(folder / "model_index.json", _class_name="StableDiffusionInpaintPipeline"),
            "an inpainting model",
        ),
        (
            lambda folder: change_json(folder / "model_index.json", _class_name="StableDiffusionDepth2ImgPipeline"),
            "told depths",
        ),
        (
            lambda folder: change_json(
                folder / "model_index.json", _class_name="StableDiffusionInstructPix2PixPipeline"
            ),
            "takes instructions",
        ),
        (
            lambda folder: change_json(folder / "scheduler" / "scheduler_config.json", prediction_type="sample"),
            "'sample'",
        ),
        (
            lambda folder: change_json(folder / "scheduler" / "scheduler_config.json", timestep_spacing="linspace"),
            "'linspace'",
        ),
    ],
)
def test_a_folder_of_something_else(folder: Path, damage: Callable[[Path], None], expected: str) -> None:
    damage(folder)
    assert expected in message_of(folder)


@pytest.mark.parametrize(
    ("weights", "damage"),
    [
        ("unet/diffusion_pytorch_model", "garbage"),
        ("unet/diffusion_pytorch_model", "cut short"),
        ("unet/diffusion_pytorch_model", "absent"),
        ("vae/diffusion_pytorch_model", "garbage"),
        ("text_encoder/model", "absent"),
        ("text_encoder/model", "garbage"),
        ("text_encoder/model", "cut short"),
    ],
)
def test_damaged_weights(folder: Path, weights: str, damage: str) -> None:
    path = folder / f"{weights}.safetensors"
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(b"garbage" * 40 if damage == "garbage" else path.read_bytes()[:-100])
    assert str(folder) in message_of(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(value: float) -> None:
    with pytest.raises(EditRealError, match="finite latents"):
        check_finite(torch.tensor([0.0, value]), "latents")
    finite = torch.ones(2)
    assert check_finite(finite, "latents") is finite


def test_a_family_that_is_not_known_is_refused_before_its_weights_are_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "AudioPipeline"}')
    asked: list[list[str]] = []

    def download(model: str, allow_patterns: list[str], **_: object) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("backbones.hub.snapshot_download", download)
    assert "got AudioPipeline" in message_of("someone/audio")
    assert asked == [["model_index.json"]]
