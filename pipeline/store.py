"""The HDF5 files: a group for each split, with `images` (N, ...) uint8 and `labels` (N,) uint8, 0 to 9.

`svhn.h5` and `reconstructions/test.h5` hold images as (N, 3, H, W), a channel's file as (N, H, W). Equal
contents are equal bytes: nothing in a file tells when it was written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline import files, layout
from pipeline.errors import PipelineError

BLOCK = 4096  # images in memory at a time; 12 MB of RGB crops
REMEDY = "delete it and run `dvc repro`"


@dataclass(frozen=True)
class Provenance:
    """The .mat file that a split came from."""

    name: str
    size: int  # bytes
    md5: str


class Writer:
    """A new file. `h5py.File` in write mode, held to the layout."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def create(
        self, split: str, shape: tuple[int, ...], labels: np.ndarray, provenance: Provenance | None = None
    ) -> h5py.Dataset:
        """Make a split with room for images of `shape`, (N, ...); return the dataset to fill in blocks."""
        group = self._file.create_group(split)
        if provenance:
            group.attrs.update(vars(provenance))
        group.create_dataset("labels", data=labels, dtype=np.uint8, track_times=False)
        return group.create_dataset("images", shape, dtype=np.uint8, track_times=False)


@contextmanager
def create(path: Path) -> Iterator[Writer]:
    """A file that appears at `path` when the block ends, and not at all when the block raises."""
    with files.atomic_file(path) as part, h5py.File(part, "w", libver="v110") as file:
        yield Writer(file)


@dataclass(frozen=True)
class Split:
    """One split of an open file; images are read when they are asked for."""

    images: h5py.Dataset
    labels: np.ndarray  # (N,) uint8
    provenance: Provenance | None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape)

    def blocks(self) -> Iterator[slice]:
        """The slices of at most BLOCK images that cover the split."""
        return (slice(i, min(i + BLOCK, self.shape[0])) for i in range(0, self.shape[0], BLOCK))


@contextmanager
def read(path: Path, dimensions: int) -> Iterator[dict[str, Split]]:
    """The splits of a file whose images have `dimensions` axes, N included.

    Raises:
        PipelineError: the file is absent, damaged, or of another layout.
    """
    if not path.exists():
        raise PipelineError(f"{path}: not found; run `dvc repro` to make it")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise PipelineError(f"{path}: not a whole HDF5 file ({error}); {REMEDY}") from None
    with file:
        # HDF5 lists groups by name; people expect training images first.
        names = [name for name in layout.SPLITS if name in file]
        if not names:
            raise PipelineError(f"{path}: no split in it; expected train and test; {REMEDY}")
        yield {name: _split(path, name, file[name], dimensions) for name in names}


def _split(path: Path, name: str, group: h5py.Group, dimensions: int) -> Split:
    where = f"{path}: split {name}"
    if not isinstance(group, h5py.Group) or not {"images", "labels"} <= set(group):
        raise PipelineError(f"{where}: expected the datasets images and labels; {REMEDY}")
    images, labels = group["images"], group["labels"]
    if images.dtype != np.uint8 or images.ndim != dimensions or images.shape[0] == 0:
        raise PipelineError(
            f"{where}: images should be uint8 with {dimensions} axes; found {images.shape} {images.dtype}; "
            f"{REMEDY}"
        )
    if labels.shape != images.shape[:1] or labels.dtype != np.uint8:
        raise PipelineError(
            f"{where}: labels should be {images.shape[:1]} uint8; found {labels.shape} {labels.dtype}; "
            f"{REMEDY}"
        )
    about = dict(group.attrs)
    provenance = Provenance(str(about["name"]), int(about["size"]), str(about["md5"])) if about else None
    return Split(images, labels[:], provenance)
