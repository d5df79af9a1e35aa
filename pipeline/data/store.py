"""The HDF5 files: a group for each split, with `images` (N, ...) uint8 and, if they have any, their labels.

`labels` are (N,) uint8, or uint16 where some are above 255; SVHN's are its digits. `classes`, where labels
have names, are (K,) texts: a label is a place in them. `svhn.h5` and `reconstructions/test.h5` hold images as
(N, 3, H, W), a channel's file as (N, H, W). Equal contents are equal bytes: nothing in a file tells when it
was written.

What is read is what was written, or an error: `checksums` are (B,) uint64, one of each block of images (see
`checked_images`), and the attribute `checksum` is a CRC-32 of those and of all else in the group. HDF5 keeps
such sums of its own layout.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, printable
from pipeline.data import hdf5
from pipeline.data.checked_images import DAMAGED, REMEDY, Room, StoredImages, block_length

FORMAT, VERSION = "vaepipe images", 2
SPLITS = ("train", "validation", "test", "extra")  # validation: of images whose owner has held some out
BLOCK = 4096  # images in memory at a time, at most
NO_HDF5 = "not a whole HDF5 file"
DIFFERENT_RUNS = "they are not of one run of split; delete data/channels and run `dvc repro`"


@dataclass(frozen=True)
class Provenance:
    """The file, or the files, that a split came from."""

    name: str
    size: int  # bytes
    md5: str  # of a file; of pictures, the MD5 of their MD5s in order
    note: str = ""  # how the images were cut out of it, where they were


TEXTS = ("name", "md5", "note")  # of a Provenance


class Writer:
    """A new file. `h5py.File` in write mode, held to the layout."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._rooms: dict[str, Room] = {}

    def create(
        self,
        split: str,
        shape: tuple[int, ...],
        labels: np.ndarray | None,
        provenance: Provenance | None = None,
        classes: Sequence[str] = (),
    ) -> Room:
        """Make a split with room for images of `shape`, (N, ...); return it, to be filled in blocks."""
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
        self._rooms[split] = Room(group.create_dataset("images", shape, dtype=np.uint8, track_times=False))
        return self._rooms[split]

    def describe(self, split: str, provenance: Provenance) -> None:
        """Say where a split comes from."""
        for name in TEXTS:
            if value := getattr(provenance, name):
                hdf5.set_text(self._file[split], name, value)
        self._file[split].attrs["size"] = provenance.size

    def finish(self) -> None:
        """Write the checksums."""
        for split, room in self._rooms.items():
            room.check_full()
            group = self._file[split]
            group.create_dataset("checksums", data=room.checksums, track_times=False)
            group.attrs["checksum"] = np.uint32(_checksum(group))
        self._file.attrs.update({"format": np.bytes_(FORMAT), "version": VERSION})


@contextmanager
def create(path: Path) -> Iterator[Writer]:
    """A file that appears at `path` when the block ends, and not at all when the block raises."""
    with hdf5.create(path) as file:
        writer = Writer(file)
        yield writer
        writer.finish()


@dataclass(frozen=True)
class Split:
    """One split of an open file; images are read when they are asked for."""

    images: StoredImages
    labels: np.ndarray | None  # (N,) uint8 or uint16
    provenance: Provenance | None
    classes: tuple[str, ...] = ()  # the labels' names; empty if they have none

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    def blocks(self) -> Iterator[slice]:
        """The slices that cover the split, each of as many images as are in memory at a time."""
        length = min(BLOCK, block_length(self.shape))
        return (slice(i, min(i + length, self.shape[0])) for i in range(0, self.shape[0], length))


def label_names(labels: np.ndarray | None, classes: Sequence[str]) -> list[str]:
    """The name of each label, of those that have none their numbers; nothing where there are no labels."""
    return [] if labels is None else [classes[n] if classes else str(n) for n in labels.tolist()]


def is_one(path: Path) -> bool:
    """Whether an HDF5 file is one of these, by what it says of itself.

    Raises:
        PipelineError: it cannot be read.
    """
    with hdf5.open_to_read(path, NO_HDF5) as file, hdf5.reading(path, NO_HDF5):
        return hdf5.text(file, "format") == FORMAT


@contextmanager
def read(path: Path, dimensions: int | None) -> Iterator[dict[str, Split]]:
    """The splits of a file whose images have `dimensions` axes, N included; None: 3 or 4.

    Raises:
        PipelineError: the file is absent, damaged, or of another layout.
    """
    try:
        files.check_readable(path)
    except FileNotFoundError:
        way = paths.workspace_hint("run `dvc repro` to make it")
        raise PipelineError(f"{path}: not found; {way}") from None
    with hdf5.open_to_read(path, NO_HDF5, REMEDY) as file:
        with hdf5.reading(path, DAMAGED, REMEDY):
            found = _splits(path, file, dimensions)
        yield found


def _splits(path: Path, file: h5py.File, dimensions: int | None) -> dict[str, Split]:
    kind = hdf5.text(file, "format")
    version = hdf5.whole(file, "version") if kind else 0
    if (kind, version) != (FORMAT, VERSION):
        found = f"{kind} {version}" if kind else "another"
        raise PipelineError(
            f"{printable(path)}: expected the layout {FORMAT} {VERSION}; found {printable(found)}; {REMEDY}"
        )
    # HDF5 lists groups by name; people expect training images first.
    there = set(file)
    names = [name for name in SPLITS if name in there]
    if not names:
        raise PipelineError(f"{path}: no split in it; expected train and test; {REMEDY}")
    return {name: _split(path, name, hdf5.subgroup(path, file, name), dimensions) for name in names}


def _split(path: Path, name: str, group: h5py.Group, dimensions: int | None) -> Split:
    where = f"{path}: split {name}"
    there = set(group)
    if not {"images", "checksums"} <= there or "checksum" not in group.attrs:
        raise PipelineError(f"{where}: expected images, checksums and, if any, labels; {REMEDY}")
    images = hdf5.member(path, group, "images")
    axes = (dimensions,) if dimensions else (3, 4)
    wanted = " or ".join(map(str, axes))
    if images.dtype != np.uint8 or images.ndim not in axes or 0 in images.shape or images.chunks:
        raise PipelineError(
            f"{where}: images should be uint8 with {wanted} axes; found {images.shape} {images.dtype}; "
            f"{REMEDY}"
        )
    count = images.shape[0]
    blocks = -(-count // block_length(images.shape))
    checksums = _array(path, group, "checksums", (np.uint64,), blocks)
    labels = _array(path, group, "labels", (np.uint8, np.uint16), count) if "labels" in there else None
    classes = hdf5.texts(path, group, "classes") if "classes" in there else ()
    if _checksum(group) != hdf5.whole(group, "checksum"):
        raise PipelineError(f"{where}: {DAMAGED}: labels or sizes are not what was written; {REMEDY}")
    return Split(StoredImages(path, images, checksums), labels, _provenance(group), classes)


def _array(
    path: Path, group: h5py.Group, name: str, dtypes: Sequence[type[np.generic]], count: int
) -> np.ndarray:
    dataset = hdf5.member(path, group, name)
    if dataset.shape != (count,) or dataset.dtype not in dtypes:
        kinds = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise PipelineError(
            f"{path}: split {group.name.strip('/')}: {name} should be {(count,)} {kinds}; "
            f"found {dataset.shape} {dataset.dtype}; {REMEDY}"
        )
    return np.asarray(dataset[:])


def _provenance(group: h5py.Group) -> Provenance | None:
    if "size" not in group.attrs:
        return None
    return Provenance(size=hdf5.whole(group, "size"), **{name: hdf5.text(group, name) for name in TEXTS})


def _checksum(group: h5py.Group) -> int:
    """A CRC-32 of all in a group but its images, of which their checksums are in it."""
    others = [name for name in sorted(group) if name != "images"]
    layout = [[name, list(group[name].shape), str(group[name].dtype)] for name in sorted(group)]
    provenance = _provenance(group)
    about = vars(provenance) if provenance else None
    found = zlib.crc32(json.dumps([layout, sorted(set(group.attrs) - {"checksum"}), about]).encode())
    for name in others:
        found = zlib.crc32(group[name][:].tobytes(), found)
    return found


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
