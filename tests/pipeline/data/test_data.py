"""From .mat files to channel files, and what is said of files that are not whole."""

import errno
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError
from pipeline.data import hdf5, store
from pipeline.data.svhn import matfile, official_files
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import convert, download, split
from pipeline.stages.download import DownloadConfig
from tests.helpers.arrays import equal
from tests.helpers.checkout import CUT

Crops = tuple[np.ndarray, np.ndarray]


def test_the_mat_layout_is_svhns(tmp_path: Path, crops: Crops) -> None:
    images, labels = crops
    path = tmp_path / "train_32x32.mat"
    matfile.write(path, images, labels)
    # Read by scipy alone, as the README of SVHN describes it.
    contents = scipy.io.loadmat(path)
    assert contents["X"].shape == (32, 32, 3, 300)
    assert contents["X"].dtype == np.uint8
    assert contents["y"].shape == (300, 1)
    row, column, channel, image = 5, 9, 2, 17
    assert contents["X"][row, column, channel, image] == images[image, channel, row, column]
    assert set(contents["y"].ravel()) == set(range(1, 11))
    assert (contents["y"][labels == 0] == 10).all()


@pytest.mark.slow
def test_equal_images_give_equal_mat_files(tmp_path: Path, crops: Crops) -> None:
    for name in ("a", "b"):
        matfile.write(tmp_path / name, *crops)
        time.sleep(1.1)  # a time in the header would differ
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_from_mat_to_channels(raw: Path, crops: Crops) -> None:
    images, labels = crops
    convert.run(*CUT)
    split.run()
    with store.read(paths.IMAGES, dimensions=4) as splits:
        assert set(splits) == {"train", "test"}
        assert np.array_equal(splits["train"].images[:], images[:200])
        assert equal(splits["test"].labels, labels[200:])
        provenance = splits["train"].provenance
    assert provenance is not None
    assert (provenance.name, provenance.size) == ("train_32x32.mat", paths.raw("train").stat().st_size)
    for channel, component in enumerate(("red", "green", "blue")):
        with store.read(paths.channel(component), dimensions=3) as splits:
            assert np.array_equal(splits["train"].images[:], images[:200, channel])
            assert np.array_equal(splits["test"].images[:], images[200:, channel])
            assert equal(splits["test"].labels, labels[200:])
            assert splits["train"].provenance == provenance


def test_blocks_smaller_than_a_split(raw: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BLOCK", 64)
    convert.run(*CUT)
    split.run()
    with store.read(paths.channel("blue"), dimensions=3) as splits:
        assert np.array_equal(splits["train"].images[:], crops[0][:200, 2])


def test_equal_input_gives_equal_hdf5(raw: Path) -> None:
    convert.run(*CUT)
    split.run()
    written = [paths.IMAGES, paths.channel("red")]
    first = [path.read_bytes() for path in written]
    time.sleep(1.1)  # times in a header would differ
    convert.run(*CUT)
    split.run()
    assert [path.read_bytes() for path in written] == first


def test_the_extra_split_is_carried_along(raw: Path, crops: Crops) -> None:
    images, labels = crops
    matfile.write(paths.raw("extra"), images[50:90], labels[50:90])
    convert.run(*CUT)
    split.run()
    with store.read(paths.channel("green"), dimensions=3) as splits:
        assert np.array_equal(splits["extra"].images[:], images[50:90, 1])


def test_generated_files(workspace: Path) -> None:
    download.run(
        DownloadConfig("synthetic", extra=True), SyntheticConfig(train=30, test=20, extra=10, seed=1)
    )
    counts = {split: len(matfile.read(paths.raw(split))[0]) for split in paths.SVHN_SPLITS}
    assert counts == {"train": 30, "test": 20, "extra": 10}


def test_a_folder_is_copied_never_linked(raw: Path, tmp_path: Path) -> None:
    (raw / "mine").mkdir()
    for name in ("train", "test"):
        paths.raw(name).rename(raw / "mine" / paths.raw(name).name)
    before = (raw / "mine" / "train_32x32.mat").read_bytes()
    download.run(DownloadConfig("mine"), SyntheticConfig(1, 1, 1, 0))
    assert paths.raw("train").read_bytes() == before
    # DVC makes what it tracks read-only: a link would change the user's own file.
    assert paths.raw("train").stat().st_ino != (raw / "mine" / "train_32x32.mat").stat().st_ino


def test_a_folder_without_the_files(workspace: Path) -> None:
    with pytest.raises(PipelineError, match=r"^nowhere: not found; data.source is a URL, a folder that"):
        download.run(DownloadConfig("nowhere"), SyntheticConfig(1, 1, 1, 0))
    assert not paths.RAW.exists()


def test_a_file_that_is_not_the_official_one(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = workspace / "served"
    served.mkdir()
    (served / "train_32x32.mat").write_bytes(b"not SVHN")
    known = official_files.OfficialFile(size=8, md5="0" * 32, images=1)
    monkeypatch.setitem(official_files.OFFICIAL, "train", known)
    with pytest.raises(PipelineError, match=r"MD5 .*, expected 0{32}; deleted; set data.source"):
        download.run(DownloadConfig(served.as_uri()), SyntheticConfig(1, 1, 1, 0))
    monkeypatch.setitem(official_files.OFFICIAL, "train", official_files.OfficialFile(9, "0" * 32, 1))
    with pytest.raises(PipelineError, match="8 bytes arrived, 9 expected; deleted"):
        download.run(DownloadConfig(served.as_uri()), SyntheticConfig(1, 1, 1, 0))
    assert not paths.RAW.exists()
    assert [path.name for path in paths.downloads().iterdir()] == ["train_32x32.mat.lock"]


def test_a_verified_download_is_not_fetched_again(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = raw / "served"
    paths.RAW.rename(served)
    for name in ("train", "test"):
        path = served / paths.raw(name).name
        known = official_files.OfficialFile(path.stat().st_size, files.md5(path), 1)
        monkeypatch.setitem(official_files.OFFICIAL, name, known)
    download.run(DownloadConfig(served.as_uri()), SyntheticConfig(1, 1, 1, 0))
    first = paths.raw("train").read_bytes()
    (served / "train_32x32.mat").unlink()
    download.run(DownloadConfig(served.as_uri()), SyntheticConfig(1, 1, 1, 0))
    assert paths.raw("train").read_bytes() == first


def mat(X: object = None, y: object = None) -> dict[str, object]:
    return {name: value for name, value in (("X", X), ("y", y)) if value is not None}


GOOD = np.zeros((32, 32, 3, 4), np.uint8)
LABELS = np.ones((4, 1), np.uint8)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (mat(y=LABELS), "no variable X"),
        (mat(X=GOOD), "no variable y"),
        (mat(GOOD.astype(np.float64), LABELS), "X should be 32x32x3xN uint8.*found 32x32x3x4 float64"),
        (mat(GOOD[:, :, 0], LABELS), "found 32x32x4 uint8"),
        (mat(GOOD[:, :, :, :0], LABELS[:0]), "N at least 1"),
        (mat(GOOD, LABELS[:3]), "a label for each of 4 images; found 3x1"),
        (mat(GOOD, LABELS * 11), "labels should be 1 to 10 .*; found 11"),
        (mat(GOOD, LABELS * 0), "labels should be 1 to 10 .*; found 0"),
    ],
)
def test_a_mat_file_of_another_layout(raw: Path, contents: dict[str, object], said: str) -> None:
    scipy.io.savemat(paths.raw("test"), contents)
    with pytest.raises(PipelineError, match=f"^data/raw/test_32x32.mat: .*{said}.*; delete it"):
        convert.run(*CUT)
    assert not list(Path("data").glob("*.h5")) + list(Path("data").glob(".*"))


def test_a_mat_file_that_is_not_there(raw: Path) -> None:
    paths.raw("train").unlink()
    with pytest.raises(PipelineError, match=r"^data/raw/train_32x32.mat: not found; run `dvc repro"):
        convert.run(*CUT)
    assert not paths.IMAGES.exists()


@pytest.mark.parametrize("length", [0, 60, 200, 5000])
def test_a_mat_file_that_was_cut(raw: Path, length: int) -> None:
    path = paths.raw("train")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PipelineError, match=r"not a whole MATLAB 5 file|no variable"):
        convert.run(*CUT)
    assert not paths.IMAGES.exists()


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_an_hdf5_file_that_was_cut(raw: Path, length: int) -> None:
    convert.run(*CUT)
    paths.IMAGES.write_bytes(paths.IMAGES.read_bytes()[:length])
    with pytest.raises(PipelineError, match=r"data/svhn.h5: not a whole HDF5 file"):
        split.run()
    assert not paths.channel("red").exists()


def test_an_hdf5_file_of_another_layout(raw: Path) -> None:
    with h5py.File("data/svhn.h5", "w") as file:
        file["train/images"] = np.zeros((3, 3, 32, 32), np.uint8)
    with pytest.raises(PipelineError, match="expected the layout vaepipe images 2; found another; delete it"):
        split.run()
    with store.create(paths.IMAGES) as new:
        new.create("train", (3, 32, 32), None)[:] = 0
    with pytest.raises(PipelineError, match="should be uint8 with 4 axes; found \\(3, 32, 32\\)"):
        split.run()
    with h5py.File("data/svhn.h5", "r+") as file:
        file.attrs["version"] = 1
    with pytest.raises(PipelineError, match="vaepipe images 2; found vaepipe images 1; delete it and run"):
        split.run()
    with h5py.File("data/svhn.h5", "r+") as file:
        file.attrs["version"] = 2
    with h5py.File("data/svhn.h5", "r+") as file:
        del file["train/images"]
    with pytest.raises(PipelineError, match="split train: expected images, checksums and, if any, labels"):
        split.run()


def test_a_disk_that_is_full_is_named_and_not_what_hdf5_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(hdf5._Disk):
        def write(self, block: Any) -> int:
            data = memoryview(block).cast("B")
            if self.tell() + len(data) > 10_000 and not self.error:
                super().write(data[: len(data) // 2])
                self.error = OSError(errno.ENOSPC, "")
            return super().write(data)

    monkeypatch.setattr(hdf5, "_Disk", Full)
    large = (2000, 5000)  # more than HDF5 keeps of a chunk: it reads back what it has written

    def write() -> None:
        with hdf5.create(tmp_path / "x.h5") as file:
            images = file.create_dataset("x", large, np.uint8, chunks=large, compression="gzip")
            for row in range(4):
                images[row] = np.random.default_rng(row).integers(0, 256, 5000, np.uint8)

    with pytest.raises(PipelineError, match=r"x.h5: cannot be written: No space left on device; it is as it"):
        write()
    assert not list(tmp_path.iterdir())
