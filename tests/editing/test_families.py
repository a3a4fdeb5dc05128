"""What holds for every family: edits, masks and composites on small models that diffusers has saved and loaded."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from backbones.attention import Control, Site, attention, attention_probs, controlled
from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.controls import CONTROLS as CONTROL_MAKERS
from editing.editor import Editor
from editing.generated import edit_generated
from editing.inpaint import inpaint_real
from editing.plan import plan_edit
from editing.settings import EditSettings
from inversion.ddim import ddim_sample
from inversion.fixed_point import implicit_invert
from inversion.invert import METHODS
from inversion.schedule import make_schedule
from masks.record import map_sites, record_maps
from tests.editing.edits import CAPTION, NEW, assert_untouched_outside, edit, half, picture, pixels
from tests.families import WRITERS

CONTROLS = ("replace", "refine", "mutual", "plug_and_play")


@pytest.fixture(scope="module", params=list(WRITERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of the family, on disk."""
    return WRITERS[request.param](tmp_path_factory.mktemp("families") / request.param)


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    """The same, loaded."""
    return load_backbone(folder, "cpu")


class Everywhere(Control):
    """Takes part at every site and computes what the layer would, unless it is told to fail."""

    def __init__(self, sites: Collection[Site], *, fails: bool = False) -> None:
        self._sites, self._fails = sites, fails
        self.seen: dict[Site, tuple[torch.Tensor, ...]] = {}

    def sites(self, step: int) -> Collection[Site]:
        return self._sites

    def attend(
        self, site: Site, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, step: int
    ) -> torch.Tensor:
        if self._fails:
            raise KeyboardInterrupt
        self.seen[site] = (query, key, value)
        return attention(query, key, value)

    def features(self, site: Site, hidden: torch.Tensor, step: int) -> torch.Tensor:
        self.seen[site] = (hidden,)
        return hidden


def noise(backbone: Backbone, rows: int = 1, seed: int = 0) -> torch.Tensor:
    side = backbone.image_size // backbone.vae_factor
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, backbone.latent_channels, side, side, generator=generator)


def denoise(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return backbone.denoise(latents, 500, backbone.condition([CAPTION]).expand(len(latents)))


def processors(backbone: Backbone) -> dict[str, object]:
    return dict(backbone.denoiser.attn_processors)


@pytest.mark.parametrize("inversion", METHODS)
def test_an_edit_changes_what_is_in_the_mask_and_nothing_else(backbone: Backbone, inversion: str) -> None:
    photo, options = picture(), {"inversion": inversion, "max_inner_steps": 1}
    result = edit(Editor(backbone), photo, **options)
    assert_untouched_outside(result, photo)
    assert result.image.size == (40, 48)


def test_a_part_is_drawn_anew_and_nothing_else(folder: Path) -> None:
    photo, mask = picture(), half(48, 40, left=True)
    first, again, other = (
        inpaint_real(photo, NEW, mask, model=folder, device="cpu", steps=4, seed=seed) for seed in (0, 0, 1)
    )
    changed = pixels(first.image) != photo
    assert changed[mask].any() and not changed[~mask].any()
    assert np.array_equal(first.image, again.image) and not np.array_equal(first.image, other.image)


def skip_unless_suited(backbone: Backbone, control: str) -> None:
    if control == "plug_and_play" and not any(site.kind == "residual" for site in backbone.sites(16, 16)):
        with pytest.raises(EditRealError, match="residual blocks"):
            Editor(backbone).check(CAPTION, NEW, (40, 48), control=control)
        pytest.skip("refused")


@pytest.mark.parametrize("control", CONTROLS)
def test_the_same_caption_gives_the_photo_back(backbone: Backbone, control: str) -> None:
    skip_unless_suited(backbone, control)
    photo = picture()
    result = edit(Editor(backbone), photo, new=CAPTION, control=control)
    assert np.array_equal(pixels(result.image), photo)


@pytest.mark.parametrize("control", CONTROLS)
def test_under_every_control_the_same_words_are_the_source(backbone: Backbone, control: str) -> None:
    """Without guidance an edit of equal captions is the source, whatever is carried over from one to the other."""
    skip_unless_suited(backbone, control)
    result = edit(
        Editor(backbone), picture(), new=CAPTION, control=control, exact=False, guidance_scale=1, local_blend=False
    )
    drawn, source = (np.asarray(image).astype(int) for image in (result.drawn, result.reconstruction))
    assert np.abs(drawn - source).max() <= 2


def test_inversion_and_back_comes_as_near_as_one_likes(backbone: Backbone) -> None:
    latents, steps = noise(backbone, seed=2), 10
    schedule, condition = make_schedule(backbone, steps), backbone.condition([CAPTION])
    errors = []
    for iterations in (10, 30):
        pivots = implicit_invert(backbone, schedule, latents, condition, iterations=iterations)
        back = ddim_sample(backbone, schedule, pivots[:1], condition, condition.expand(steps), 1.0)
        errors.append(float((back[-1:] - latents).square().mean().sqrt() / latents.std()))
    assert errors[1] < max(0.5 * errors[0], 1e-4), errors


def test_every_row_of_attention_sums_to_one(backbone: Backbone) -> None:
    latents = noise(backbone)
    sites = backbone.sites(*latents.shape[-2:])
    control = Everywhere(sites)
    plain = denoise(backbone, latents)
    with controlled(backbone, control, step=0):
        controlled_output = denoise(backbone, latents)
    torch.testing.assert_close(controlled_output, plain, rtol=1e-4, atol=1e-5)
    assert set(control.seen) == set(sites)
    words = backbone.parse(CAPTION).length
    for site, tensors in control.seen.items():
        if site.kind == "residual":
            assert tensors[0].shape[-2:] == (site.height, site.width)
            continue
        query, key, _ = tensors
        cells = site.height * site.width
        assert query.shape[2] == cells, site
        assert key.shape[2] == {"cross": words, "self": cells, "joint": words + cells}[site.kind]
        probs = attention_probs(query, key)
        torch.testing.assert_close(probs.sum(-1), torch.ones(probs.shape[:-1]))


@pytest.mark.parametrize("control", CONTROLS)
def test_under_every_control_rows_of_attention_sum_to_one(backbone: Backbone, control: str) -> None:
    """What is gathered of values that are all 1 is 1, at each site that the control takes part in."""
    skip_unless_suited(backbone, control)
    sites, words = backbone.sites(16, 16), backbone.parse(CAPTION).length
    plan = plan_edit(backbone, CAPTION, NEW, (40, 48), EditSettings(control=control, emphasis=1.0), sampled=range(10))
    made = CONTROL_MAKERS[control]([plan], sites, torch.device("cpu"))
    asked = [site for site in {*made.sites(0), *made.sites(5)} if site.kind != "residual"]
    assert asked
    generator = torch.Generator().manual_seed(0)
    for site in asked:
        cells = site.height * site.width
        keys = {"cross": words, "self": cells, "joint": words + cells}[site.kind]
        query, key = (torch.randn(3, 2, number, 8, generator=generator) for number in (cells, keys))
        gathered = made.attend(site, query, key, torch.ones(3, 2, keys, 8), 0)
        torch.testing.assert_close(gathered, torch.ones_like(gathered), rtol=1e-4, atol=1e-5)


def test_maps_say_how_much_each_pixel_attends_to_each_word(backbone: Backbone) -> None:
    latents = noise(backbone, rows=2)
    sites = map_sites(backbone.sites(*latents.shape[-2:]))
    maps = record_maps(backbone, latents, [700, 300], backbone.condition([CAPTION]))
    cells = sites[0].height * sites[0].width
    assert maps.cross.shape == (2, cells, backbone.parse(CAPTION).length)
    assert maps.pixels.shape == (cells, cells)
    torch.testing.assert_close(maps.pixels.sum(-1), torch.ones(cells))
    assert float(maps.cross.sum(-1).max()) <= 1 + 1e-5


def test_what_was_found_is_put_back_after_an_exception(backbone: Backbone) -> None:
    latents = noise(backbone)
    before, plain = processors(backbone), denoise(backbone, latents)
    sites = backbone.sites(*latents.shape[-2:])
    with pytest.raises(KeyboardInterrupt), controlled(backbone, Everywhere(sites, fails=True), step=0):
        denoise(backbone, latents)
    after = processors(backbone)
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)
    assert torch.equal(denoise(backbone, latents), plain)


def test_what_a_batch_says_does_not_depend_on_the_other_rows(backbone: Backbone) -> None:
    latents, condition = noise(backbone, rows=2), backbone.condition(["", CAPTION])
    with torch.no_grad():
        together = backbone.predict(latents, 400, condition)
        alone = [backbone.predict(latents[i : i + 1], 400, condition[i]) for i in range(2)]
    for part, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(part, torch.cat(parts), rtol=1e-3, atol=1e-3)


def test_diffusers_has_the_same_weights(folder: Path, backbone: Backbone) -> None:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    ours = load_backbone(pipeline)
    assert ours.fingerprint == backbone.fingerprint
    assert ours.family is backbone.family and ours.guidance_scale == backbone.guidance_scale
    result = edit(Editor(ours), picture())
    assert result.image.tobytes() == edit(Editor(backbone), picture()).image.tobytes()


def test_a_generated_image_is_edited(folder: Path) -> None:
    result = edit_generated(CAPTION, NEW, model=folder, device="cpu", steps=2, refinement="plain")
    assert result.image.size == result.photo.size


def test_bfloat16_is_not_the_autoencoders(folder: Path) -> None:
    loaded = load_backbone(folder, "cpu", torch.bfloat16)
    formats = {network.dtype for network in loaded.networks if network is not loaded.vae}
    assert formats == {torch.bfloat16}
    assert loaded.vae is None or loaded.vae.dtype == torch.float32
    result = edit(Editor(loaded), picture())
    assert result.image.size == (40, 48)
