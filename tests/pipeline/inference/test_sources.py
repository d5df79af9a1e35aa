"""Files and folders that `encode` takes as `data.source` does."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.data import store
from tests.helpers.drawings import draw, noise
from tests.helpers.inference import Z, refused, run

IMAGES = noise(6, 32, 32, 3)
FIRST = IMAGES.transpose(0, 3, 1, 2)
CONDITIONAL = ("--models", "conditional")


def hdf5(path: str, **arrays: np.ndarray) -> None:
    """Arrays at the root, or where a name has two underscores, in a group; with attributes of somebody's."""
    with h5py.File(path, "w") as file:
        file.attrs["about"] = "mine"
        for name, array in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=array)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda: np.savez("x.npz", images=IMAGES), ("x.npz",)),
        (lambda: np.savez("x.npz", x_train=IMAGES[:2], x_test=IMAGES), ("x.npz",)),
        (lambda: np.savez("x.npz", x_train=IMAGES, x_val=IMAGES[:2]), ("x.npz", "--split", "train")),
        (lambda: np.savez("x.npz", images=FIRST / 255), ("x.npz",)),
        (lambda: hdf5("x.h5", images=IMAGES), ("x.h5",)),
        (lambda: hdf5("x.h5", images=FIRST.astype(np.float32) / 255), ("x.h5",)),
        (
            lambda: hdf5("x.h5", valid__images=FIRST, train__images=FIRST[:2]),
            ("x.h5", "--split", "validation"),
        ),
        (lambda: hdf5("x.h5", mine__images=IMAGES), ("x.h5",)),
        (
            lambda: scipy.io.savemat(
                "x.mat", {"X": IMAGES.transpose(1, 2, 3, 0), "y": np.ones((6, 1), np.uint8)}
            ),
            ("x.mat",),
        ),
    ],
)
def test_files_of_arrays(place: Path, make: Callable[[], None], arguments: tuple[str, ...]) -> None:
    for n, image in enumerate(IMAGES):
        draw(Path(f"same/{n}.png"), image)
    make()
    assert run("encode", "same", "-o", "same.h5")[0] == 0
    status, said = run("encode", *arguments, *Z)
    assert (status, "6 pictures" in said) == (0, True), said
    with h5py.File("z.h5") as found, h5py.File("same.h5") as expected:
        np.testing.assert_allclose(found["z"][:], expected["z"][:], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.savez("x.npz", images=IMAGES, labels=np.eye(10)[[3, 7, 3, 7, 3, 7]]),
        lambda: np.savez("x.npz", images=IMAGES, labels=np.array(["3", "7"] * 3)),
        lambda: hdf5("x.npz", images=FIRST, labels=np.array([3, 7] * 3, np.int64)),
        lambda: hdf5("x.npz", images=FIRST[:, 0], labels=np.eye(10)[[3, 7, 3, 7, 3, 7]]),
    ],
)
def test_labels_are_matched_by_name(place: Path, make: Callable[[], None]) -> None:
    make()
    assert run("encode", "x.npz", *Z, *CONDITIONAL)[0] == 0
    with h5py.File("z.h5") as found:
        assert found["labels"][:].tolist() == [3, 7, 3, 7, 3, 7]


def test_class_folders_are_labels(place: Path) -> None:
    for n, image in enumerate(IMAGES):
        draw(Path(f"in/{(3, 7)[n % 2]}/{n}.png"), image)
    assert run("encode", "in", *Z, *CONDITIONAL)[0] == 0
    with h5py.File("z.h5") as found:
        assert found["labels"][:].tolist() == [3, 3, 3, 7, 7, 7]
    draw(Path("in/cat/1.png"), IMAGES[0])
    assert refused("encode", "in", "-o", "y.h5", *CONDITIONAL).startswith(
        "a picture is labelled cat, which is no"
    )
    draw(Path("in/more.png"), IMAGES[0])  # beside class folders: none of them counts
    assert refused("encode", "in", "-o", "y.h5", *CONDITIONAL).startswith("these models are told a label")


def test_links_and_frames_as_download_takes_them(place: Path) -> None:
    for n, image in enumerate(IMAGES):
        draw(Path(f"other/{n}.png"), image)
    Path("in/cat").mkdir(parents=True)
    Path("in/cat/more").symlink_to(Path("other").absolute())
    assert "6 pictures" in run("encode", "in", *Z)[1]
    Path("in/gone.png").symlink_to("nowhere")
    assert "in/gone.png (a link to nothing)" in refused("encode", "in", "-o", "y.h5")


def test_a_dark_picture_is_said_to_be_one(place: Path) -> None:
    draw(Path("dark.png"), np.full((32, 32), 9, np.uint8))
    status, said = run("encode", "dark.png", *Z)
    assert status == 0
    assert "no number in 1 picture of 8 bits is above 9 of 255, so white seems to be less" in said
    assert "seems" not in run("encode", "dark.png", "-o", "y.h5", "--white-level", 255)[1]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": IMAGES[:, :16]}, "x.h5: images are 32x16, but the models' 32x32; images in such a file"),
        ({"pictures": IMAGES}, "x.h5: expected images, and labels if there are any, or a group of these for"),
        ({"a__images": IMAGES, "b__images": IMAGES}, "x.h5: no split test; found a, b"),
        ({"images": IMAGES, "labels": np.zeros(5)}, "x.h5: an array should be (6,) whole numbers or texts"),
        ({"images": IMAGES * 1000.0}, "x.h5: arrays of float64 with numbers up to 255,000; expected 0 to 1"),
    ],
)
def test_hdf5_that_is_none_of_images(place: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    hdf5("x.h5", **arrays)
    assert refused("encode", "x.h5", *Z).startswith(said)


def test_a_channel_s_file_is_of_grey_pictures(place: Path) -> None:
    with store.create(Path("red.h5")) as file:
        file.create("test", (6, 32, 32), None)[:] = IMAGES[..., 0]
    status, said = run("encode", "red.h5", *Z)
    assert (status, "6 pictures" in said) == (0, True), said
