"""Images in an HDF5 file under checksums: one of each block of them, (B,) uint64, see `block_checksum`."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import h5py
import numpy as np

from pipeline.common.errors import PipelineError, printable
from pipeline.data import hdf5
from pipeline.data.block_checksum import block_checksum

BLOCK = 4096  # images under one checksum, at most; 12 MB of RGB crops
BLOCK_BYTES = 16 << 20  # the same, of larger images
REMEDY = "delete it and run `dvc repro`"
DAMAGED = "not whole"


def block_length(shape: Sequence[int]) -> int:
    """How many images, of an array of this shape, are under one checksum, and read at once."""
    return max(1, min(BLOCK, BLOCK_BYTES // prod(shape[1:])))


class Room:
    """Room for the images of a split, to be filled in order."""

    def __init__(self, images: h5py.Dataset) -> None:
        self._images, self._filled = images, 0
        self._length = block_length(images.shape)
        self._begun: np.ndarray | None = None  # room for a block that comes in parts
        self.checksums = np.zeros(-(-len(images) // self._length), np.uint64)

    def __setitem__(self, rows: slice, images: np.ndarray | int) -> None:
        """Take the next images, (B, ...) uint8, or one number for all of them; write blocks that are full."""
        start, stop, _ = rows.indices(len(self._images))
        if start != self._filled:
            raise ValueError(f"images {start} to {stop} after {self._filled}: a split is filled in order")
        shape = (stop - start, *self._images.shape[1:])
        images = np.broadcast_to(np.asarray(images, np.uint8), shape)
        while self._filled < stop:
            until = min(stop, (self._filled // self._length + 1) * self._length)
            self._take(images[self._filled - start : until - start])

    def _take(self, images: np.ndarray) -> None:
        """Take images of one block, (B, ...) uint8; with its last one write it."""
        first, count = self._filled - self._filled % self._length, len(images)
        last = min(len(self._images), first + self._length)
        if count < last - first:
            if self._begun is None:
                self._begun = np.empty((last - first, *images.shape[1:]), np.uint8)
            self._begun[self._filled - first :][:count] = images
            images = self._begun[: last - first]
        self._filled += count
        if self._filled == last:
            images = np.ascontiguousarray(images)
            self._images[first:last] = images
            self.checksums[first // self._length] = block_checksum(images)

    def check_full(self) -> None:
        """Raise unless all images were written."""
        if self._filled != len(self._images):
            raise ValueError(f"{self._filled} images of {len(self._images)}")


class StoredImages:
    """The images of a split in an open file; each block is held to its checksum when it is read."""

    def __init__(self, path: Path, images: h5py.Dataset, checksums: np.ndarray) -> None:
        self.shape: tuple[int, ...] = tuple(images.shape)
        self.dtype = np.dtype(np.uint8)
        self._path, self._images, self._checksums = path, images, checksums
        self._length = block_length(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some images, (B, ...) uint8.

        Raises:
            PipelineError: they cannot be read, or are not what was written.
        """
        start, stop, _ = rows.indices(len(self))
        first = start - start % self._length  # a block is read whole
        last = min(len(self), -(-stop // self._length) * self._length)
        found = np.empty((max(0, last - first), *self.shape[1:]), np.uint8)
        for place in range(first, last, self._length):
            block = found[place - first : place - first + self._length]
            with hdf5.reading(self._path, DAMAGED, REMEDY):
                self._images.read_direct(block, np.s_[place : place + len(block)])
            if block_checksum(block) != self._checksums[place // self._length]:
                raise PipelineError(
                    f"{printable(self._path)}: {DAMAGED}: images {place} to {place + len(block) - 1} of "
                    f"{self._images.parent.name.strip('/')} are not what was written; {REMEDY}"
                )
        return found[start - first : stop - first]
