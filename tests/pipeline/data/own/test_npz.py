"""Own images: .npz files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.arrays import equal
from tests.helpers.drawings import noise
from tests.helpers.own_images import FEW, get, line


# .npz files
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_npz_arrays(workspace: Path, channels: tuple[int, ...]) -> None:
    images = noise(10, 9, 11, *channels)
    if channels == (4,):
        images[..., 3] = 255
    np.savez("own.npz", images=images, names=np.array(["other"]))
    rgb = np.broadcast_to(images.reshape(10, 9, 11, -1)[..., :3], (10, 9, 11, 3)).transpose(0, 3, 1, 2)
    sets = get("own.npz")
    assert np.array_equal(sets["train"][0], rgb[:8])
    assert np.array_equal(sets["test"][0], rgb[8:])
    assert sets["train"][1] is None


def test_npz_splits_and_labels(workspace: Path) -> None:
    train, test = noise(6, 20, 20), noise(3, 30, 20, seed=1)
    labels = np.array([[0], [0], [0], [999], [999], [999]])
    np.savez_compressed(
        "own.npz", train_images=train, test_images=test, train_labels=labels, test_labels=[7, 5, 6]
    )
    sets = get("own.npz", 20)
    assert sets["train"][1] is not None
    assert sets["train"][1].dtype == np.uint16
    assert equal(sets["train"][1], [0, 999] * 3)
    assert np.array_equal(sets["train"][0][:, 1], train[[0, 3, 1, 4, 2, 5]])
    assert equal(sets["test"][1], [7, 5, 6])
    assert np.array_equal(sets["test"][0][:, 0], test[:, 5:25])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": FEW}, r"expected the arrays images \(and labels\), or .*; found x_train"),
        ({"images": FEW, "X": FEW}, "images and X are both the images; leave one out"),
        ({"images": FEW, "x_train": FEW, "x_val": FEW}, "images, x_train, x_val: all images, or those of"),
        ({"train_images": FEW}, "expected the arrays .*; found train_images"),
        ({"images": noise(4, 2, 8, 8)}, r"images should be .*; found \(4, 2, 8, 8\), with no axis of 1, 3"),
        ({"images": noise(4, 3, 8, 3)}, r".*found \(4, 3, 8, 3\), which could be channels first or last"),
        (
            {"images": noise(32, 32, 200)},
            r".*found \(32, 32, 200\), which looks like \(H, W, N\): give",
        ),
        ({"images": noise(8, 9, 20), "labels": [1] * 20}, r".*\(8, 9, 20\), which looks like \(H, W, N\)"),
        (
            {"images": noise(32, 32, 3, 20)},
            r".*which looks like \(H, W, C, N\), as in SVHN's files: give",
        ),
        ({"images": np.array(["cat"])}, "images should be .*, numbers; found "),
        ({"images": FEW[:0]}, r"images should hold images; found \(0, 8, 8\)"),
        ({"images": FEW[:1]}, "one image; expected at least 2"),
        ({"images": noise(2, 300, 8)}, "images are of 8x300 pixels, but as .*data.size is null, a side must"),
        ({"images": FEW, "labels": [1, 2]}, r"labels should be \(4,\) whole numbers.*; found \(2,\) int64"),
        ({"images": FEW, "labels": [0.5] * 4}, "labels should be .*; found 0.5"),
        ({"images": FEW, "labels": np.ones((4, 3))}, r"labels should be .* one-hot rows; found \(4, 3\)"),
        ({"images": np.array([None, 1])}, "not a whole .npz file of plain arrays"),
        (
            {"train_images": FEW, "test_images": noise(2, 9, 8)},
            r"images of several sizes \(train 8x8, test 8x9\); expected one, as .*; set data.size",
        ),
    ],
)
def test_npz_of_another_layout(workspace: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez("own.npz", **arrays)
    assert re.search(f"^own.npz: {said}", line("own.npz"))


@pytest.mark.parametrize("kept", [0, 10, 100, 0.5, 0.99])
def test_an_npz_that_was_cut(workspace: Path, kept: float) -> None:
    np.savez_compressed("own.npz", images=noise(20, 16, 16))
    data = Path("own.npz").read_bytes()
    Path("own.npz").write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    assert re.search("^own.npz: not a whole .npz file of plain arrays", line("own.npz"))


def test_one_array_is_no_npz(workspace: Path) -> None:
    with Path("own.npz").open("wb") as file:
        np.save(file, FEW)
    assert "not a whole .npz file of plain arrays (one array, as numpy.save writes it)" in line("own.npz")
