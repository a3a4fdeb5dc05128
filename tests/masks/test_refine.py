import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from backbones.errors import EditRealError
from masks import enlarge
from masks.refine import REFINEMENTS, SMALLEST_PART, clean, feather_inside, refine_mask, soften

MASKS = arrays(bool, st.tuples(st.integers(3, 24), st.integers(3, 24)))


def disc_photo(height: int, width: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A textured disc on a textured ground, and where it is."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    disc = (y - 0.48 * height) ** 2 + (x - 0.53 * width) ** 2 < radius**2
    colors = np.where(disc[..., None], (190, 60, 70), (70, 120, 80)) + rng.normal(0, 6, (height, width, 1))
    return colors.clip(0, 255).astype(np.uint8), disc


def coarse(mask: np.ndarray, side: int = 16) -> np.ndarray:
    """As a word's map sees it: small and blurred."""
    small = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (3, 3), 0.8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("shape", [(160, 160), (120, 200), (800, 600)])
@pytest.mark.parametrize("refinement", ["guided", "grabcut"])
def test_refining_follows_the_photos_edge(shape: tuple[int, int], refinement: str) -> None:
    photo, disc = disc_photo(*shape, radius=0.27 * min(shape))
    soft = coarse(disc)
    plain, refined = (iou(refine_mask(soft, photo, name), disc) for name in ("plain", refinement))
    assert plain > 0.8
    assert refined > 0.97
    assert refined > plain


@pytest.mark.parametrize("refinement", REFINEMENTS)
@pytest.mark.parametrize("shape", [(48, 40), (31, 77), (500, 400)])
@pytest.mark.parametrize("value", [0.0, 0.5, 0.6, 1.0])
def test_a_mask_of_one_value_stays_so(refinement: str, shape: tuple[int, int], value: float) -> None:
    photo, _ = disc_photo(*shape, radius=10)
    mask = refine_mask(np.full((16, 16), value, np.float32), photo, refinement)
    assert mask.shape == shape
    assert mask.dtype == bool
    assert mask.all() if value > 0.5 else not mask.any()


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_a_flat_photo_leaves_the_coarse_mask(refinement: str) -> None:
    _, disc = disc_photo(96, 96, radius=30)
    mask = refine_mask(coarse(disc), np.full((96, 96, 3), 128, np.uint8), refinement)
    assert iou(mask, disc) > 0.7


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_refining_is_repeatable_and_leaves_its_inputs(refinement: str) -> None:
    photo, disc = disc_photo(64, 80, radius=20)
    soft = coarse(disc)
    inputs = soft.copy(), photo.copy()
    assert np.array_equal(refine_mask(soft, photo, refinement), refine_mask(soft, photo, refinement))
    assert np.array_equal(soft, inputs[0])
    assert np.array_equal(photo, inputs[1])


def test_an_unknown_refinement_is_refused() -> None:
    with pytest.raises(EditRealError, match="guided, grabcut, plain, got 'magic'"):
        refine_mask(np.ones((4, 4)), np.zeros((8, 8, 3), np.uint8), "magic")


@pytest.mark.parametrize("value", [True, False])
def test_specks_and_pinholes_go_and_the_rest_stays(value: bool) -> None:
    mask = np.full((100, 100), not value)
    mask[20:60, 20:60] = value  # stays
    expected = mask.copy()
    mask[80:84, 80:84] = value  # 16 of the 20 pixels that a part needs
    mask[30:33, 30:33] = not value
    assert 16 < SMALLEST_PART * mask.size <= 20
    assert np.array_equal(clean(mask), expected)


@given(mask=MASKS, radius=st.floats(0, 9) | st.just(3000.0))
def test_a_feather_is_strictly_inside(mask: np.ndarray, radius: float) -> None:
    feathered = feather_inside(mask, radius)
    assert feathered.dtype == np.uint8
    assert (feathered[~mask] == 0).all()
    assert (feathered[mask] > 0).all()


@given(mask=MASKS, radius=st.floats(1, 9))
def test_a_feather_rises_with_the_distance_to_the_edge(mask: np.ndarray, radius: float) -> None:
    feathered = feather_inside(mask, radius).astype(int)
    if mask.all():
        assert (feathered == 255).all()
        return
    distance = distance_transform_edt(mask)
    order = np.argsort(distance, axis=None, kind="stable")
    assert (np.diff(feathered.ravel()[order]) >= -1).all()
    assert (feathered[distance >= radius + 0.01] == 255).all()


def test_a_feather_fades_where_the_photo_goes_on_and_not_where_it_ends() -> None:
    mask = np.zeros((20, 17), bool)
    mask[:10, 5:] = True
    feathered = feather_inside(mask, 3)
    assert feathered[4, 5:8].tolist() == feathered[9:6:-1, 11].tolist() == [85, 170, 255]  # the photo goes on
    assert (feathered[:5, 11:] == 255).all()  # it ends above and on the right


@given(mask=MASKS, radius=st.floats(1, 9), pads=st.tuples(*[st.integers(0, 3)] * 4))
def test_a_feather_depends_on_what_is_near_the_mask_alone(
    mask: np.ndarray, radius: float, pads: tuple[int, int, int, int]
) -> None:
    small = np.pad(mask, 1)
    wider = np.pad(small, (pads[:2], pads[2:]))
    inner = feather_inside(wider, radius)[pads[0] : pads[0] + small.shape[0], pads[2] : pads[2] + small.shape[1]]
    assert np.array_equal(inner, feather_inside(small, radius))


@pytest.mark.parametrize("radius", [0, 0.5])
def test_no_feather_is_a_hard_edge(radius: float) -> None:
    mask = np.eye(8, dtype=bool)
    assert np.array_equal(feather_inside(mask, radius), mask * np.uint8(255))


def matte_photo(side: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A disc on a ground of another colour, and each pixel's share of it, mixed over some pixels at the rim."""
    y, x = np.mgrid[:side, :side]
    share = np.clip((0.3 * side - np.hypot(x - 0.53 * side, y - 0.48 * side)) / 4 + 0.5, 0, 1)[..., None]
    photo = share * (190, 60, 70) + (1 - share) * (70, 120, 80) + np.random.default_rng(0).normal(0, 2, (side, side, 3))
    return photo.clip(0, 255).astype(np.uint8), share[..., 0]


@pytest.mark.parametrize("grown", [-2, 0, 2])
def test_a_softened_mask_is_each_pixels_share(grown: int) -> None:
    photo, share = matte_photo()
    kernel = np.ones((2 * abs(grown) + 1,) * 2, np.uint8)
    mask = (cv2.erode if grown < 0 else cv2.dilate)((share > 0.5).astype(np.uint8), kernel) > 0
    soft = soften(mask, photo, 0.03).astype(np.float32) / 255
    rim = (share > 0) & (share < 1)
    assert np.abs(soft - share)[rim].mean() < 0.7 * np.abs(mask - share)[rim].mean()
    assert soft.dtype == np.float32 and np.corrcoef(soft[rim], share[rim])[0, 1] > 0.8


@given(mask=MASKS, feather=st.floats(0.04, 0.3))
def test_a_softened_mask_changes_near_its_edge_alone(mask: np.ndarray, feather: float) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*mask.shape, 3)).astype(np.uint8)
    reach = 2 * round(feather * max(mask.shape)) + 1
    soft = soften(mask, photo, feather)
    for value, expected in ((True, 255), (False, 0)):
        far = (
            distance_transform_edt(np.pad(mask == value, 1, mode="edge"))[1:-1, 1:-1] if (mask != value).any() else None
        )
        inside = mask == value if far is None else far > reach * 1.5
        assert (soft[inside] == expected).all()


@pytest.mark.parametrize("feather", [0.0, 0.001])
def test_without_a_feather_the_mask_stays_hard(feather: float) -> None:
    photo, share = matte_photo()
    assert np.array_equal(soften(share > 0.5, photo, feather), (share > 0.5) * np.uint8(255))


@pytest.mark.parametrize("stripe", [1, 5000])
def test_refining_and_softening_in_stripes_leave_no_seams(stripe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, disc = disc_photo(500, 450, radius=130)
    mask = refine_mask(coarse(disc), photo, "grabcut")
    soft = soften(mask, photo, 0.01)
    monkeypatch.setattr(enlarge, "STRIPE", stripe)
    assert np.array_equal(refine_mask(coarse(disc), photo, "grabcut"), mask)
    assert np.array_equal(soften(mask, photo, 0.01), soft)
