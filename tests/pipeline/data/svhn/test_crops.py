"""Full numbers: from archives of photos to crops of digits."""

import gzip
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.data.svhn import crops
from pipeline.data.svhn.digitstruct import Box
from pipeline.stages import convert, download
from pipeline.stages.download import DownloadConfig
from tests.helpers.archives import CROPPED, FULL, GENERATED, boxes, images, packed
from tests.helpers.arrays import equal
from tests.helpers.checkout import CUT


@pytest.mark.parametrize("size", [32, 48, 64])
def test_from_archives_to_crops(full: Path, size: int) -> None:
    convert.run(size, 0.1, "hidden")
    for split, count in (("train", 60), ("test", 30)):
        found, labels, note = images(split)
        listed = boxes(paths.archive(split), split)
        assert found.shape == (count, 3, size, size)
        assert labels.tolist() == [int(box.label) % 10 for of_photo in listed.values() for box in of_photo]
        assert note.startswith(f"{count} digits of {len(listed)} photos; margin 0.1, neighbours hidden; ")
    before = paths.IMAGES.read_bytes()
    convert.run(size, 0.1, "hidden")
    assert paths.IMAGES.read_bytes() == before
    convert.run(size, 0.1, "shown")
    assert paths.IMAGES.read_bytes() != before


def test_generated_photos_are_the_same_twice(full: Path) -> None:
    before = paths.archive("train").read_bytes()
    download.run(DownloadConfig("synthetic", "full"), GENERATED)
    assert paths.archive("train").read_bytes() == before


def disc(box: Box, photo: tuple[int, int]) -> np.ndarray:
    """A white ellipse that fills a box, on black, (H, W, 3)."""
    y, x = np.mgrid[: photo[0], : photo[1]] + 0.5
    across = (x - box.left - box.width / 2) / box.width
    down = (y - box.top - box.height / 2) / box.height
    return np.repeat(((across**2 + down**2 < 0.25) * 255).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize(
    "box",
    [Box(20, 30, 24, 40, 1), Box(10.5, 10.25, 60, 30, 1), Box(-9, 40, 30, 30, 1), Box(70, 5, 90, 90, 1)],
)
@pytest.mark.parametrize("size", [32, 64])
def test_a_digit_is_whole_centred_and_undistorted(box: Box, size: int) -> None:
    inside = disc(box, (100, 120))
    seen = crops.window(box, 0.2)
    found = crops.crop(inside, seen, crops.WITHOUT_END, size).transpose(1, 2, 0)[..., 0] / 255
    # In the crop it should be an ellipse of the same shape in the middle.
    scale = size / seen.side
    width, height = box.width * scale, box.height * scale
    expected = (
        disc(Box((size - width) / 2, (size - height) / 2, width, height, 1), (size, size))[..., 0] / 255
    )
    # Replicated edges stand for what the photo lacks: two pixels inside what it has.
    first_x, last_x = (int((x - seen.left) * scale) for x in (max(seen.left, 0), min(seen.right, 120)))
    first_y, last_y = (int((y - seen.top) * scale) for y in (max(seen.top, 0), min(seen.bottom, 100)))
    there = (slice(first_y + 2, last_y - 2), slice(first_x + 2, last_x - 2))
    assert np.abs(found - expected)[there].mean() < 0.03


def test_where_a_box_leaves_the_photo_its_edges_are_replicated() -> None:
    photo = np.zeros((20, 20, 3), np.uint8)
    photo[:, 0], photo[0, :] = (200, 0, 0), (0, 0, 200)
    found = crops.crop(photo, crops.Area(-20, 5, -4, 21), crops.WITHOUT_END, 16)
    assert (found[0] == 200).all()
    assert (found[1:] == 0).all()


def test_neighbours_are_hidden_and_the_digit_is_not() -> None:
    photo = np.full((40, 100, 3), 128, np.uint8)
    trio = [Box(10, 5, 20, 30, 1), Box(40, 5, 20, 30, 2), Box(70, 5, 20, 30, 3)]
    for box, colour in zip(trio, [(0, 0, 255), (255, 0, 0), (0, 0, 255)], strict=True):
        photo[5:35, int(box.left) : int(box.right)] = colour
    middle, others = trio[1], [trio[0], trio[2]]
    seen = crops.window(middle, 0.2)
    shown = crops.crop(photo, seen, crops.WITHOUT_END, 64)
    hidden = crops.crop(photo, seen, crops.visible_area(middle, others), 64)
    assert (shown[2] > 200).any()
    assert (hidden[2] < 150).all()
    np.testing.assert_array_equal(hidden[:, 10:54, 20:44], shown[:, 10:54, 20:44])
    # 42 pixels wide from 29 on: the left one's last pixel, and the right one's first.
    assert crops.neighbours(seen, crops.WITHOUT_END, others) == pytest.approx(2 * 1 * 30 / 42**2)
    assert crops.neighbours(seen, crops.visible_area(middle, others), others) == 0


def test_what_is_covered_twice_counts_once() -> None:
    square = crops.Area(0, 0, 10, 10)
    others = [Box(0, 0, 4, 10, 1), Box(2, 0, 4, 5, 1), Box(20, 20, 5, 5, 1)]
    assert crops.neighbours(square, crops.WITHOUT_END, others) == pytest.approx((40 + 10) / 100)


places = st.floats(-50, 300, allow_nan=False)


sides = st.floats(1, 200, allow_nan=False)


some_boxes = st.lists(st.builds(Box, places, places, sides, sides, st.just(1.0)), min_size=1, max_size=5)


@given(some_boxes)
def test_a_box_is_never_cut(several: list[Box]) -> None:
    box, *others = several
    own = crops.visible_area(box, others)
    assert own.left <= box.left
    assert own.top <= box.top
    assert own.right >= box.right
    assert own.bottom >= box.bottom
    seen = crops.window(box, 0.1)
    share, whole = (crops.neighbours(seen, visible, others) for visible in (own, crops.WITHOUT_END))
    assert 0 <= share <= whole + 1e-9 <= 1 + 2e-9


def test_the_source_and_the_format_fit(workspace: Path) -> None:
    for name in ("train", "test"):
        packed(workspace / f"mine/{name}.tar.gz", {"x": b""})
    with pytest.raises(PipelineError, match=r"holds SVHN's photos of full numbers; set it to full$"):
        download.run(DownloadConfig("mine"), GENERATED)
    download.run(DownloadConfig("mine", "full"), GENERATED)
    found = sorted(path.name for path in paths.RAW.iterdir())
    assert found == [paths.CHECKSUMS.name, "test.tar.gz", "train.tar.gz"]
    Path("mine/test.tar.gz").unlink()
    with pytest.raises(
        PipelineError, match=r"mine/test.tar.gz: not found; data.source is a folder that must"
    ):
        download.run(DownloadConfig("mine", "full"), GENERATED)
    with pytest.raises(PipelineError, match=r"mine/train.tar.gz: not a folder; data.source is a URL"):
        download.run(DownloadConfig("mine/train.tar.gz", "full"), GENERATED)


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_photo_in_a_folder(workspace: Path, kind: str) -> None:
    for split in ("train", "test"):
        (workspace / f"mine/{split}").mkdir(parents=True)
        (workspace / f"mine/{split}/digitStruct.mat").touch()
    path = workspace / "mine/train/1.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(
        PipelineError, match=r"mine/train/1.png: (no plain file|cannot be copied: No such file)"
    ):
        download.run(DownloadConfig("mine", "full"), GENERATED)
    assert not paths.RAW.exists()


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_archives_that_were_unpacked(workspace: Path, photos: Path, kind: str) -> None:
    for split in ("train", "test"):
        with gzip.open(photos / paths.archive(split)) as archive:
            tar = workspace / f"mine/{split}.tar"
            tar.parent.mkdir(exist_ok=True)
            tar.write_bytes(archive.read())
        if kind == "folder":
            with tarfile.open(tar) as members:
                members.extractall(workspace / "mine", filter="data")
            tar.unlink()
    with pytest.raises(PipelineError, match=r"holds SVHN's photos of full numbers; set it to full$"):
        download.run(DownloadConfig("mine"), GENERATED)
    written = []
    for source in ("mine", str(photos / paths.RAW), "mine"):
        download.run(DownloadConfig(source, "full"), GENERATED)
        convert.run(*CUT)
        with store.read(paths.IMAGES, dimensions=4) as splits:
            written.append({name: (split.images[:], split.labels) for name, split in splits.items()})
    for split, (crops_, labels) in written[0].items():
        for others in written[1:]:
            assert np.array_equal(crops_, others[split][0])
            assert equal(labels, np.asarray(others[split][1]))


@pytest.mark.svhn
@pytest.mark.skipif(not (FULL / "train.tar.gz").exists(), reason="needs a slice of SVHN's full numbers")
@pytest.mark.slow
class TestSVHN:
    """On the real slice: 256 photos, whose 554 digits SVHN's makers cropped, too."""

    @pytest.fixture
    def raw(self, workspace: Path) -> None:
        download.run(DownloadConfig(str(FULL), "full"), GENERATED)

    def test_counts_and_neighbours(self, raw: None) -> None:
        convert.run(64, 0.1, "hidden")
        for split, count in (("train", 554), ("test", 378)):
            found, _, note = images(split)
            assert found.shape == (count, 3, 64, 64)
            assert "cover 0.0% of the median crop" in note
        assert "(as SVHN crops them, 20.4% and 20.8%)" in note

    def test_without_margin_and_with_neighbours_they_are_the_official_crops(self, raw: None) -> None:
        convert.run(32, 0, "shown")
        found, labels, _ = images("train")
        official = scipy.io.loadmat(CROPPED / "train_32x32.mat")
        expected = official["X"].transpose(3, 2, 0, 1)[: len(found)]
        assert (official["y"][: len(found), 0] % 10 == labels).all()
        error = np.square((found / 255.0) - expected / 255.0).mean((1, 2, 3))
        assert np.median(error) < 1.5e-4  # 38 dB, by another resampling filter
