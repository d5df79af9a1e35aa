"""Files that hold many images as arrays: .npz, SVHN's .mat, and HDF5, ours or of another layout."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.common import files
from pipeline.common.errors import PipelineError, printable
from pipeline.data import hdf5, store
from pipeline.data.checked_images import DAMAGED
from pipeline.data.own import arrays, npz
from pipeline.data.own import labels as label_arrays
from pipeline.data.own.arrays import ImageArray, WrongArray
from pipeline.data.own.brightness import WrongRange
from pipeline.data.own.split_names import split_of

MOST_PICTURES = 5_000_000
HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK"  # how such files begin
EXPECTED = "images, and labels if there are any, or a group of these for each split"
OTHER_LAYOUT = f"expected {EXPECTED}; found another layout"


@dataclass(frozen=True)
class ArrayFile:
    """One split of a file."""

    split: str  # or "images", of a file that has none
    images: ImageArray
    classes: Sequence[str] | None  # N names; None without labels
    resizable: bool  # whether pictures of another size are brought to the models'


def is_array_file(place: Path) -> bool:
    """Whether a file holds arrays, by how it begins, or of .mat by its name."""
    if not place.is_file():
        return False
    begins = _beginning(place)
    return begins == HDF5 or begins[:2] == ZIP or place.suffix.lower() == ".mat"


def _beginning(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            return file.read(len(HDF5))
    except OSError as error:
        raise files.unreadable(place, error) from None


@contextmanager
def opened(path: Path, split: str | None, white_level: int | None) -> Iterator[ArrayFile]:
    """Open one split of a file: the one that is named, else test, or the only one.

    Raises:
        PipelineError: there is no such split, or the file is damaged or of another layout.
    """
    begins = _beginning(path)
    if begins == HDF5:
        ours = white_level is None and store.is_one(path)
        with _stored(path, split) if ours else _foreign(path, split, white_level) as found:
            yield found
    elif begins[:2] == ZIP:
        yield _npz(path, split, white_level)
    else:
        images, labels = _mat(path)
        yield ArrayFile("images", ImageArray(images, True), [str(n) for n in labels.tolist()], False)


def _mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        from pipeline.data.svhn import matfile  # scipy takes long to load
    except ImportError:
        raise PipelineError(
            f"{printable(path)}: SVHN's .mat files need scipy: pip install 'vaepipe[pipeline]'"
        ) from None
    return matfile.read(path, "mend it, or name another file")


def _npz(path: Path, split: str | None, white_level: int | None) -> ArrayFile:
    found, _ = npz.read(path, white_level)
    name = _chosen(path, list(found), split)
    chosen = found[name]
    names = None if chosen.labels is None else store.label_names(chosen.labels, chosen.classes)
    return ArrayFile(name or "images", chosen.images, names, True)


@contextmanager
def _stored(path: Path, split: str | None) -> Iterator[ArrayFile]:
    """One of our own, such as data/svhn.h5, held to its checksums."""
    with store.read(path, dimensions=None) as splits:
        name = _chosen(path, list(splits), split)
        found = splits[name]
        names = None if found.labels is None else store.label_names(found.labels, found.classes)
        yield ArrayFile(name, ImageArray(found.images, channels_first=len(found.shape) == 4), names, False)


@contextmanager
def _foreign(path: Path, split: str | None, white_level: int | None) -> Iterator[ArrayFile]:
    with hdf5.open_to_read(path, store.NO_HDF5) as file:
        with hdf5.reading(path, OTHER_LAYOUT):
            try:
                found = _of_group(path, file, split, white_level)
            except WrongArray as error:
                raise PipelineError(f"{printable(path)}: an array {error}") from None
            except WrongRange as error:
                raise PipelineError(f"{printable(path)}: {error}") from None
        yield found


def _of_group(path: Path, file: h5py.File, split: str | None, white_level: int | None) -> ArrayFile:
    if "images" in file:
        name = _chosen(path, [""], split)
    else:
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise PipelineError(f"{printable(path)}: {printable(name)} is not in the file itself")
        groups = [name for name in file if isinstance(file[name], h5py.Group) and "images" in file[name]]
        if not groups:
            raise PipelineError(
                f"{printable(path)}: expected {EXPECTED}; found {printable(', '.join(file) or 'nothing')}"
            )
        name = _chosen(path, groups, split)
    group = file[name] if name else file
    values = _member(path, group, "images")
    labels = _member(path, group, "labels")[:] if group.get("labels", getlink=True) else None
    images = arrays.images(_Values(path, values), None if labels is None else len(labels))
    if values.dtype != np.uint8 or white_level is not None:
        [images] = arrays.with_white([images], white_level)
    names = None
    if labels is not None:
        by_split, texts = label_arrays.stored({"": label_arrays.read(labels, len(images))})
        classes = list(texts)
        if not texts and group.get("classes", getlink=True):
            classes = list(hdf5.texts(path, group, "classes"))
            if by_split[""].max() >= len(classes):
                raise WrongArray(f"of labels has {by_split[''].max()}, but there are {len(classes)} classes")
        names = store.label_names(by_split[""], classes)
    return ArrayFile(name or "images", images, names, False)


class _Values:
    """The numbers of a dataset, a block at a time; what cannot be read is said in one line."""

    def __init__(self, path: Path, dataset: h5py.Dataset) -> None:
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self._path, self._dataset = path, dataset

    def __getitem__(self, rows: slice) -> np.ndarray:
        with hdf5.reading(self._path, DAMAGED):
            return np.asarray(self._dataset[rows])


def _member(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    dataset = hdf5.member(path, group, name)
    if dataset.ndim and len(dataset) > MOST_PICTURES:
        raise PipelineError(f"{printable(path)}: {len(dataset):,} {name}; expected at most {MOST_PICTURES:,}")
    return dataset


def _chosen(path: Path, splits: Sequence[str], wanted: str | None) -> str:
    """The split to read, by its name in the file, or by a name that means the same."""
    if wanted is None:
        by_meaning = {split_of(name): name for name in splits}
        with suppress(KeyError):
            return by_meaning["test"]
        if len(splits) == 1:
            return splits[0]
    elif wanted in splits:
        return wanted
    else:
        alike = [name for name in splits if split_of(name) and split_of(name) == split_of(wanted)]
        if len(alike) == 1:
            return alike[0]
    found = printable(", ".join(splits)) or "images without splits"
    asked = f"no split {printable(wanted)}" if wanted else "no split test"
    raise PipelineError(f"{printable(path)}: {asked}; found {found}")
