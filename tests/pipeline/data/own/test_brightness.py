"""Own images: which number is white, in pictures and in arrays."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common import paths
from pipeline.data import store
from pipeline.data.own import pictures
from pipeline.data.own.folder import Picture
from pipeline.data.own.pictures import Reading
from tests.helpers.drawings import draw, noise, png
from tests.helpers.own_images import get, line

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def read(path: Path, white_level: int | None = None) -> np.ndarray:
    """One channel of a picture that is grey."""
    found = pictures.load(Picture(path), Reading(white_level=white_level))
    assert found.image is not None, found.wrong
    assert (found.image == found.image[0]).all()
    return found.image[0]


def as_png_16(path: Path, values: np.ndarray, *, colour: bool) -> None:
    pixels = np.repeat(values[..., None], 3, -1) if colour else values[..., None]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    path.write_bytes(png(16, 2 if colour else 0, values.shape[1], values.shape[0], rows))


@pytest.mark.parametrize("most", [1, 15])
def test_masks_in_eight_bits(workspace: Path, most: int) -> None:
    for n in range(4):
        draw(Path(f"own/{n}.png"), (RAMP * most).round().astype(np.uint8))
    said = line("own")
    assert (
        f"own: no number in 4 pictures of 8 bits is above {most} of 255, so white seems to be less; " in said
    )
    assert f"(perhaps {most}, or 255 if they are as dark as that); nothing was written" in said
    scaled = get("own", white_level=most)["train"][0]
    assert (scaled.min(), scaled.max()) == (0, 255)
    dark = get("own", white_level=255)["train"][0]
    assert dark.max() == most


def test_black_pictures_are_black(workspace: Path) -> None:
    for n in range(3):
        draw(Path(f"own/{n}.png"), np.zeros((8, 8), np.uint8))
    assert get("own")["train"][0].max() == 0


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("most", [255, 4095])
def test_sixteen_bits_that_hold_less(workspace: Path, most: int, colour: bool) -> None:
    Path("own").mkdir()
    for n in range(3):
        as_png_16(Path(f"own/{n}.png"), (RAMP * most).round().astype(np.uint16), colour=colour)
    assert "no number in 3 pictures of 16 bits is above " in line("own")
    if colour:
        said = pictures.load(Picture(Path("own/0.png")), Reading(white_level=most)).wrong
        assert "too few where data.white_level is" in said
    else:
        assert np.abs(read(Path("own/0.png"), most) - RAMP * 255).max() <= 1


def test_eight_bits_among_twelve_stay_as_they_are(tmp_path: Path) -> None:
    draw(tmp_path / "x.png", (RAMP * 255).astype(np.uint8))
    assert np.array_equal(read(tmp_path / "x.png", 4095), (RAMP * 255).astype(np.uint8))


def test_each_mode_by_its_range(tmp_path: Path) -> None:
    expected = RAMP * 255
    kinds: dict[str, np.ndarray] = {
        "i32.tif": (RAMP * 255).round().astype(np.int32),
        "i16.tif": (RAMP * 65535).round().astype(np.uint16),
        "f.tif": RAMP.astype(np.float32),
        "rounded.tif": (RAMP * 1.000002).astype(np.float32),
    }
    for name, values in kinds.items():
        Image.fromarray(values).save(tmp_path / name)
        assert np.abs(read(tmp_path / name) - expected).max() <= 1, name
    inverted = (65535 - RAMP * 65535).round().astype(np.uint16)
    Image.fromarray(inverted).save(tmp_path / "white-is-zero.tif", tiffinfo={262: 0})
    assert np.abs(read(tmp_path / "white-is-zero.tif") - expected).max() <= 1


@pytest.mark.parametrize(("kind", "white"), [(np.float32, 255), (np.int32, 4095)])
def test_one_dark_picture_is_dark_where_white_was_told(tmp_path: Path, kind: type, white: int) -> None:
    """Its format holds any number, so that none of its own is bright says nothing."""
    Image.fromarray(np.full((8, 8), 1, kind)).save(tmp_path / "x.tif")
    assert read(tmp_path / "x.tif", white).max() <= 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            np.full((8, 8), 70_000, np.int32),
            "pixels from 70,000 to 70,000; expected 0 to 255; set data.white",
        ),
        (
            np.full((8, 8), 200, np.float32),
            "floating-point pixels from 200 to 200; expected 0 to 1; set data",
        ),
        (np.full((8, 8), np.nan, np.float32), "NaN or infinity"),
        (np.full((8, 8), -5, np.int32), "numbers from -5 to -5; expected 0 to 255"),
    ],
)
def test_numbers_without_a_range(tmp_path: Path, values: np.ndarray, said: str) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert said in pictures.load(Picture(tmp_path / "x.tif"), Reading()).wrong


# Arrays
IMAGES = np.linspace(0, 1, 6 * 64).reshape(6, 8, 8)


@pytest.mark.parametrize(
    ("images", "white_level"),
    [
        (IMAGES, None),
        (IMAGES.astype(np.float16), None),
        (IMAGES * 255, None),
        ((IMAGES * 255).round().astype(np.int64), None),
        ((IMAGES * 65535).round().astype(np.uint16), None),
        ((IMAGES * 4095).round().astype(np.uint16), 4095),
        (IMAGES * 16, 16),
        (IMAGES.astype(np.float32) * np.float32(1.000001) - np.float32(3e-8), None),
    ],
)
def test_arrays_of_any_range(workspace: Path, images: np.ndarray, white_level: int | None) -> None:
    np.savez("own.npz", images=images)
    found = np.concatenate([images for images, _ in get("own.npz", white_level=white_level).values()])
    assert np.abs(found[:, 0] - IMAGES * 255).max() <= 1


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ((IMAGES > 0.5).astype(np.uint8), "images: no number in arrays of uint8 is above 1 of 255, so white"),
        ((IMAGES * 4095).astype(np.uint16), "images: no number in arrays of uint16 is above 4,095 of 65,535"),
        (
            IMAGES * 16,
            "images: arrays of float64 with numbers up to 16; expected 0 to 1, or 0 to 255; set data",
        ),
        (IMAGES * 2 - 1, "images: numbers down to -1; expected none below 0"),
        (IMAGES * np.nan, "images: NaN or infinity"),
        (
            (IMAGES * 1000).astype(np.int64),
            "images: arrays of int64 with numbers up to 1,000; expected 0 to 255",
        ),
    ],
)
def test_arrays_without_a_range(workspace: Path, images: np.ndarray, said: str) -> None:
    np.savez("own.npz", images=images)
    assert f"own.npz: {said}" in line("own.npz")


def test_booleans_are_black_and_white(workspace: Path) -> None:
    np.savez("own.npz", images=IMAGES > 0.5)
    assert set(np.unique(get("own.npz")["train"][0])) <= {0, 255}


def test_channels_first(workspace: Path) -> None:
    images = noise(6, 3, 9, 8)
    np.savez("own.npz", images=images)
    assert np.array_equal(np.concatenate([found for found, _ in get("own.npz").values()]), images)


# Labels
@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 2, 1, 2, 0, 1]),
        np.array([[0], [2], [1], [2], [0], [1]], np.uint64),
        np.array([0.0, 2.0, 1.0, 2.0, 0.0, 1.0]),
        np.eye(3)[[0, 2, 1, 2, 0, 1]],
        np.eye(3, dtype=bool)[[0, 2, 1, 2, 0, 1]],
    ],
)
def test_labels_as_people_have_them(workspace: Path, labels: np.ndarray) -> None:
    np.savez("own.npz", x_train=noise(6, 8, 8), y_train=labels, x_test=noise(6, 8, 8, seed=1), y_test=labels)
    sets = get("own.npz")
    assert np.array_equal(np.asarray(sets["test"][1]), [0, 2, 1, 2, 0, 1])


def test_labels_that_are_texts_or_beyond(workspace: Path) -> None:
    for labels, names in (
        (["b", "a10", "a9", "b", "a9", "a10"], ("a9", "a10", "b")),
        ([-1, 70_000, 5, -1, 5, 70_000], ("-1", "5", "70000")),
    ):
        np.savez("own.npz", images=noise(6, 8, 8), labels=np.array(labels))
        get("own.npz", test=0.5)
        with store.read(paths.IMAGES, dimensions=4) as splits:
            assert splits["train"].classes == names
