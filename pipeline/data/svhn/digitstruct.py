"""SVHN's `digitStruct.mat`: of each photo its name and a box around each digit.

A MATLAB 7.3 file, which is an HDF5 file: `digitStruct/name` and `digitStruct/bbox` are (N, 1) references. A
name is a column of UTF-16 codes. A bbox is a group of `height, left, top, width, label`, each a plain 1x1
double where the photo has one digit, and an (n, 1) array of references to such where it has several.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from pipeline.common.errors import PipelineError, printable
from pipeline.data import hdf5

# Far beyond SVHN's: 33,402 photos, 6 digits in one, names of 9 letters.
MOST_PHOTOS, MOST_DIGITS, MOST_NAME = 1_000_000, 20, 255
DOUBLE = np.dtype("f8")


@dataclass(frozen=True)
class Box:
    """A digit's place in its photo, in pixels from the upper left corner; it may leave the photo."""

    left: float
    top: float
    width: float
    height: float
    label: float  # 1 to 10, 10 for the digit 0; as it stands in the file

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


class Struct:
    """An open file. Reading it takes a millisecond a photo, since each number is an object of its own."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        top = _child(file, "digitStruct", h5py.Group)
        self._names = _references(_child(top, "name", h5py.Dataset), MOST_PHOTOS, "name")
        self._boxes = _references(_child(top, "bbox", h5py.Dataset), MOST_PHOTOS, "bbox")
        if len(self._names) != len(self._boxes):
            raise _Wrong(f"has {len(self._names):,} names, but {len(self._boxes):,} sets of boxes")

    def __len__(self) -> int:
        """Number of photos."""
        return len(self._names)

    def __iter__(self) -> Iterator[tuple[str, list[Box]]]:
        """Each photo's name and boxes, in the file's order."""
        for number, (name, boxes) in enumerate(zip(self._names, self._boxes, strict=True), 1):
            codes = _small(self._file[name], MOST_NAME, f"the name of photo {number}")
            text = "".join(map(chr, codes.astype(np.uint16).ravel()))
            yield text, self._of(self._file[boxes], text)

    def _of(self, group: Any, photo: str) -> list[Box]:
        where = f"the boxes of {printable(photo)}"
        if not isinstance(group, h5py.Group):
            raise _Wrong(f"{where} are no group")
        fields = {}
        for field in ("left", "top", "width", "height", "label"):
            dataset = _child(group, field, h5py.Dataset, where)
            if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
                digits = _references(dataset, MOST_DIGITS, where)
                values = [self._number(digit, where) for digit in digits]
            else:
                values = [_small(dataset, 1, where).item()]
            fields[field] = values
        if len(counts := {len(values) for values in fields.values()}) > 1:
            raise _Wrong(f"{where}: the fields have {sorted(counts)} values")
        return [Box(*values) for values in zip(*fields.values(), strict=True)]

    def _number(self, reference: h5py.Reference, where: str) -> float:
        """A 1x1 double, by HDF5's own calls: five for each digit would otherwise take most of the time."""
        dataset = h5py.h5r.dereference(reference, self._file.id)
        if not isinstance(dataset, h5py.h5d.DatasetID) or np.prod(dataset.shape) != 1:
            raise _Wrong(f"{where}: not one number where one is expected")
        if reason := hdf5.unsafe_reason(dataset):
            raise _Wrong(f"{where}: {reason}")
        value = np.empty(dataset.shape, DOUBLE)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
        return float(value.item())


@contextmanager
def opened(content: bytes, where: str) -> Iterator[Struct]:
    """The file that these bytes are.

    Raises:
        PipelineError: it is no such file, at once or while it is read; `where` is what the error calls it.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            yield Struct(file)
    except _Wrong as reason:
        raise PipelineError(f"{where}: {reason}; it is not as SVHN's: mend the source") from None
    except hdf5.DAMAGE_ERRORS as error:
        raise PipelineError(
            f"{where}: not a whole MATLAB 7.3 file ({hdf5.error_text(error)}); mend the source"
        ) from None


class _Wrong(Exception):
    """Something is not as in SVHN's file."""


def _child(group: h5py.Group, name: str, kind: type, where: str = "the file") -> Any:
    """A member of a group. Only a hard one: other links may lead to other files."""
    link = group.get(name, getlink=True)
    if link is None:
        raise _Wrong(f"{where}: no {name}")
    if not isinstance(link, h5py.HardLink) or not isinstance(found := group[name], kind):
        raise _Wrong(f"{where}: {name} is no {kind.__name__.lower()} of this file")
    return found


def _references(dataset: h5py.Dataset, most: int, where: str) -> list[h5py.Reference]:
    if h5py.check_ref_dtype(dataset.dtype) is not h5py.Reference:
        raise _Wrong(f"{where}: {dataset.dtype} instead of references")
    return list(_small(dataset, most, where).ravel())


def _small(dataset: Any, most: int, where: str) -> np.ndarray:
    """Values of a dataset, if they are few enough and its own: HDF5 can point to other files' bytes."""
    kind = dataset.dtype if isinstance(dataset, h5py.Dataset) else np.dtype("S")
    if kind.kind not in "fui" and h5py.check_ref_dtype(kind) is not h5py.Reference:
        raise _Wrong(f"{where}: no numbers")
    if reason := hdf5.unsafe_reason(dataset.id):
        raise _Wrong(f"{where}: {reason}")
    if not 1 <= dataset.size <= most:
        raise _Wrong(f"{where}: {dataset.size:,} values; expected 1 to {most:,}")
    return np.asarray(dataset[()])
