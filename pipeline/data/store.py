"""The HDF5 files: a group for each split, with `images` (N, ...) uint8 and, if they have any, their labels.

`labels` are (N,) uint8, or uint16 where some are above 255; SVHN's are its digits. `classes`, where labels
have names, are (K,) texts: a label is a place in them. `svhn.h5` and `reconstructions/test.h5` hold images as
(N, 3, H, W), a channel's file as (N, H, W). Equal contents are equal bytes: nothing in a file tells when it
was written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError
from pipeline.data import hdf5

SPLITS = ("train", "validation", "test", "extra")  # validation: of images whose owner has held some out
BLOCK = 4096  # images in memory at a time; 12 MB of RGB crops
REMEDY = "delete it and run `dvc repro`"
DIFFERENT_RUNS = "they are not of one run of split; delete data/channels and run `dvc repro`"


@dataclass(frozen=True)
class Provenance:
    """The file, or the files, that a split came from."""

    name: str
    size: int  # bytes
    md5: str  # of a file; of pictures, the MD5 of their MD5s in order
    note: str = ""  # how the images were cut out of it, where they were


class Writer:
    """A new file. `h5py.File` in write mode, held to the layout."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def create(
        self,
        split: str,
        shape: tuple[int, ...],
        labels: np.ndarray | None,
        provenance: Provenance | None = None,
        classes: Sequence[str] = (),
    ) -> h5py.Dataset:
        """Make a split with room for images of `shape`, (N, ...); return the dataset to fill in blocks."""
        group = self._file.create_group(split)
        if provenance:
            self.describe(split, provenance)
        if labels is not None:
            group.create_dataset("labels", data=labels, track_times=False)
        if classes:
            # Of fixed length: HDF5 puts others on a heap of their own.
            names = [name.encode() for name in classes]
            kind = h5py.string_dtype("utf-8", max(map(len, names)))
            group.create_dataset("classes", data=np.array(names, kind), track_times=False)
        return group.create_dataset("images", shape, dtype=np.uint8, track_times=False)

    def describe(self, split: str, provenance: Provenance) -> None:
        """Say where a split comes from."""
        self._file[split].attrs.update(
            {name: value for name, value in vars(provenance).items() if value != ""}
        )


@contextmanager
def create(path: Path) -> Iterator[Writer]:
    """A file that appears at `path` when the block ends, and not at all when the block raises."""
    with hdf5.create(path) as file:
        yield Writer(file)


@dataclass(frozen=True)
class Split:
    """One split of an open file; images are read when they are asked for."""

    images: h5py.Dataset
    labels: np.ndarray | None  # (N,) uint8 or uint16
    provenance: Provenance | None
    classes: tuple[str, ...] = ()  # the labels' names; empty if they have none

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape)

    def blocks(self) -> Iterator[slice]:
        """The slices of at most BLOCK images that cover the split."""
        return (slice(i, min(i + BLOCK, self.shape[0])) for i in range(0, self.shape[0], BLOCK))


def label_names(labels: np.ndarray | None, classes: Sequence[str]) -> list[str]:
    """The name of each label, of those that have none their numbers; nothing where there are no labels."""
    return [] if labels is None else [classes[n] if classes else str(n) for n in labels.tolist()]


@contextmanager
def read(path: Path, dimensions: int) -> Iterator[dict[str, Split]]:
    """The splits of a file whose images have `dimensions` axes, N included.

    Raises:
        PipelineError: the file is absent, damaged, or of another layout.
    """
    try:
        files.check_readable(path)
    except FileNotFoundError:
        way = paths.workspace_hint("run `dvc repro` to make it")
        raise PipelineError(f"{path}: not found; {way}") from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise PipelineError(f"{path}: not a whole HDF5 file ({error}); {REMEDY}") from None
    with file:
        # HDF5 lists groups by name; people expect training images first.
        names = [name for name in SPLITS if name in file]
        if not names:
            raise PipelineError(f"{path}: no split in it; expected train and test; {REMEDY}")
        yield {name: _split(path, name, file[name], dimensions) for name in names}


def _split(path: Path, name: str, group: h5py.Group, dimensions: int) -> Split:
    where = f"{path}: split {name}"
    if not isinstance(group, h5py.Group) or "images" not in group:
        raise PipelineError(f"{where}: expected the datasets images and, if any, labels; {REMEDY}")
    images = group["images"]
    if images.dtype != np.uint8 or images.ndim != dimensions or images.shape[0] == 0:
        raise PipelineError(
            f"{where}: images should be uint8 with {dimensions} axes; found {images.shape} {images.dtype}; "
            f"{REMEDY}"
        )
    labels = group.get("labels")
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype not in (np.uint8, np.uint16)):
        raise PipelineError(
            f"{where}: labels should be {images.shape[:1]} uint8 or uint16; "
            f"found {labels.shape} {labels.dtype}; {REMEDY}"
        )
    about = dict(group.attrs)
    provenance = (
        Provenance(str(about["name"]), int(about["size"]), str(about["md5"]), str(about.get("note", "")))
        if about
        else None
    )
    classes = tuple(name.decode() for name in group["classes"]) if "classes" in group else ()
    return Split(images, None if labels is None else labels[:], provenance, classes)


def check_same_shape(splits: Mapping[Path, Split]) -> None:
    """Raise unless the channel files, by path, hold the same number of images of the same size."""
    if not splits:
        return
    (first, expected), *others = splits.items()
    for path, split in others:
        if split.shape != expected.shape:
            raise PipelineError(
                f"{path}: images of {split.shape}, but {first} has {expected.shape}; {DIFFERENT_RUNS}"
            )
