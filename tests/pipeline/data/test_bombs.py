"""Files of a few kilobytes that say that they hold gigabytes."""

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.common import machine_limits
from pipeline.common.errors import PipelineError
from pipeline.data.own import npz
from pipeline.inference import array_files

SHAPE = (64, 3, 32, 32)


def encode(path: Path) -> None:
    with array_files.opened(path, None, None) as found:
        found.images.block(slice(0, 64))


def chunked(path: Path, packed: bytes, **options: object) -> None:
    """A file whose only chunk holds these bytes."""
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", SHAPE, np.uint8, chunks=SHAPE, **options)
        images.id.write_direct_chunk((0, 0, 0, 0), packed)


def bomb(path: Path) -> None:
    packer = zlib.compressobj(9)
    zeros = bytes(1 << 20)
    chunked(path, b"".join(packer.compress(zeros) for _ in range(300)) + packer.flush(), compression="gzip")


def many(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "images", (4_000_000, 3, 32, 32), np.uint8, chunks=(1, 3, 32, 32), compression="gzip"
        )


def large_texts(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = np.zeros(SHAPE, np.uint8), np.zeros(64, np.uint8)
        file.create_dataset("classes", (10_000,), f"S{1 << 20}", chunks=(1,), compression="gzip")


def twice(path: Path) -> None:
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(SHAPE)
        plan.set_deflate(9)
        plan.set_deflate(9)
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(SHAPE), plan)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (bomb, "a chunk of 305,"),
        (many, "says that it holds 12,288,000,000 bytes, more than"),
        (large_texts, "says that it holds 10,485,760,000 bytes, more than"),
        (twice, "packed by an unknown filter, or twice by one; expected gzip, lzf, or none"),
    ],
)
def test_what_is_unpacked_is_bounded_by_what_a_file_may_hold(tmp_path: Path, make: object, said: str) -> None:
    make(tmp_path / "x.h5")  # type: ignore[operator]
    with pytest.raises(PipelineError, match=said):
        encode(tmp_path / "x.h5")


@pytest.mark.parametrize("name", ["x.npz", "x.mat"])
def test_arrays_that_are_unpacked_whole_are_bounded_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    zeros = np.zeros((64 * 1024, 32, 32, 3), np.uint8)
    if name == "x.npz":
        np.savez_compressed(path, images=zeros)
    else:
        scipy.io.savemat(
            path, {"X": zeros.reshape(32, 32, 3, -1), "y": np.ones(64 * 1024, np.uint8)}, do_compression=True
        )
    with pytest.raises(PipelineError, match=r"says that it holds 201,\d+,\d+ bytes, more than images can be"):
        encode(path)


def test_a_mat_file_of_nothing_but_empty_variables(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "x.mat", {"X": np.zeros(1)})
    with (tmp_path / "x.mat").open("ab") as file:
        file.truncate(100 << 20)  # of zeros, which are 13 million of them
    with pytest.raises(PipelineError, match="more than 10,000 variables"):
        encode(tmp_path / "x.mat")


def test_arrays_that_are_larger_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((64, 32, 32, 3), np.uint8))
    monkeypatch.setattr(machine_limits, "memory", lambda: machine_limits.Memory(10**9, 100_000, limited=True))
    with pytest.raises(PipelineError, match="takes 196,736 bytes of memory, and 100,000 are free"):
        encode(tmp_path / "x.npz")


def test_an_array_that_says_more_than_its_file_holds(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)}
        )
    with pytest.raises(PipelineError, match=r"mmap length is greater than file size"):
        npz.read(tmp_path / "x.npz", None)


def test_a_chunk_that_is_unpacked_to_more_than_it_says(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 150_000, np.uint8).tobytes()
    chunked(tmp_path / "x.h5", zlib.compress(noise + bytes(100_000)), compression="gzip")
    with pytest.raises(PipelineError, match="a chunk is unpacked to more than its 196,608 bytes"):
        encode(tmp_path / "x.h5")
