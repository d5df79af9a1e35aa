"""HDF5 files: written whole or not at all; of those from elsewhere only what lies in them is read."""

import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.common import files
from pipeline.common.errors import PipelineError, one_line, printable

MOST_CHUNK = 64 << 20  # bytes that are unpacked at once, however few they are packed
MOST_TEXT = 1 << 26  # bytes of all texts of a dataset
# How many times as large as they are packed numbers can be, by what packs them: the formats' own bounds.
DENSEST = {h5py.h5z.FILTER_DEFLATE: 1032, h5py.h5z.FILTER_LZF: 88}
MOST_DENSE = 1200  # the same of whole files, with what HDF5 adds
LAYOUTS = {h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED}  # not virtual ones, of other files
# Filters that HDF5 and h5py bring along; any other would be a plug-in, loaded from a folder.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
# What h5py answers a damaged file with, or one that was made to harm.
DAMAGE_ERRORS = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


@contextmanager
def create(path: Path) -> Iterator[h5py.File]:
    """A new file that appears at `path` when the block ends, and not at all when the block raises.

    Raises:
        PipelineError: it cannot be written, such as on a full disk.
    """
    with files.atomic_file(path) as part, part.open("w+b", buffering=0) as file:
        disk = _Disk(file)
        try:
            with h5py.File(disk, "w", libver="v110") as written:
                yield written
        finally:
            # HDF5 trips over what it reads back, where it could not be written.
            if disk.error:
                raise disk.error from None


@contextmanager
def open_to_read(path: Path, damaged: str, remedy: str = "") -> Iterator[h5py.File]:
    """A file for the block.

    Raises:
        PipelineError: it cannot be read; or it says `damaged`, why, and what to do.
    """
    with reading(path, damaged, remedy):
        file = h5py.File(path, "r")
    with file:
        yield file


@contextmanager
def reading(path: Path, damaged: str, remedy: str = "") -> Iterator[None]:
    """Put h5py's errors in one line; for blocks that do nothing but read a file.

    Raises:
        PipelineError: as `open_to_read` does.
    """
    try:
        yield
    except DAMAGE_ERRORS as error:
        # HDF5 puts the system's number into a page of its own words, and h5py raises of any kind.
        if number := re.search(r"errno = (\d+)", str(error)):
            raise files.unreadable(path, OSError(int(number[1]), "")) from None
        said = f"{printable(path)}: {damaged} ({error_text(error)})"
        raise PipelineError(f"{said}; {remedy}" if remedy else said) from None


class _Disk:
    """A file as HDF5 wants it, which hears of no error: one that it meets in closing ends the process."""

    def __init__(self, file: FileIO) -> None:
        self.error: OSError | None = None
        self._file = file
        self.seek, self.tell, self.read, self.readinto = file.seek, file.tell, file.read, file.readinto

    def write(self, block: Any) -> int:
        left = memoryview(block).cast("B")
        length = len(left)
        while left and not self.error:
            try:
                left = left[self._file.write(left) :]
            except OSError as error:
                self.error = error
        return length

    def truncate(self, size: int) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = error
            return size

    def flush(self) -> None:
        """Nothing is held back."""


def subgroup(path: Path, file: h5py.File, name: str) -> h5py.Group:
    """A group of a file, not a link to another place.

    Raises:
        PipelineError: it is a link, or no group.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise PipelineError(f"{printable(path)}: {printable(name)} is not in the file itself")
    if not isinstance(file[name], h5py.Group):
        raise PipelineError(f"{printable(path)}: {printable(name)} is no group")
    return file[name]


def member(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset of a group, not a link to another place.

    Raises:
        PipelineError: it is not there, a link, no dataset, or not as `check` wants it.
    """
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or not isinstance(group[name], h5py.Dataset):
        raise PipelineError(f"{printable(path)}: expected a dataset {name} in the file itself; found none")
    check(path, group[name])
    return group[name]


def check(path: Path, dataset: h5py.Dataset) -> None:
    """Raise unless all numbers are in the file itself, as many as it says, in chunks of modest size."""
    where = f"{printable(path)}: {printable(dataset.name)}"
    if reason := unsafe_reason(dataset.id):
        raise PipelineError(f"{where}: {reason}")
    whole, size = math.prod(dataset.shape) * dataset.dtype.itemsize, path.stat().st_size
    if dataset.chunks is None and (dataset.id.get_storage_size() != whole or whole > size):
        raise PipelineError(f"{where}: says that it holds {whole:,} bytes, more than there are in the file")
    if dataset.dtype.hasobject:  # of which HDF5 keeps a heap, and loops for ever in a damaged one
        raise PipelineError(f"{where}: values of varying length; expected numbers, or texts of fixed length")
    if dataset.chunks is not None:
        if whole > MOST_DENSE * size:
            raise PipelineError(
                f"{where}: says that it holds {whole:,} bytes, more than {size:,} bytes can be unpacked to"
            )
        _check_chunks(where, dataset.id)


def unsafe_reason(dataset: h5py.h5d.DatasetID) -> str:
    """Reason not to read a dataset, whatever its size; empty if it may be read."""
    plan = dataset.get_create_plist()
    if plan.get_layout() not in LAYOUTS or plan.get_external_count():
        return "its numbers are in other files; expected them in this one"
    filters = _filters(dataset)
    if not set(filters) <= FILTERS or len(set(filters)) < len(filters):
        return "packed by an unknown filter, or twice by one; expected gzip, lzf, or none"
    if plan.get_layout() == h5py.h5d.CHUNKED:
        size = math.prod(plan.get_chunk()) * dataset.dtype.itemsize
        if size > MOST_CHUNK:
            return f"chunks of {size:,} bytes; expected at most {MOST_CHUNK:,}"
    return ""


def _filters(dataset: h5py.h5d.DatasetID) -> list[int]:
    plan = dataset.get_create_plist()
    return [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]


def _check_chunks(where: str, dataset: h5py.h5d.DatasetID) -> None:
    """Raise where a packed chunk is unpacked to more than it says: HDF5 would make room for all of it."""
    filters = _filters(dataset)
    packed = [kind for kind in filters if kind in DENSEST]
    if not packed:
        return
    whole = math.prod(dataset.get_create_plist().get_chunk()) * dataset.dtype.itemsize
    for number in range(dataset.get_num_chunks()):
        chunk = dataset.get_chunk_info(number)
        # What is smaller is unpacked to little in any case.
        if chunk.size * math.prod(DENSEST[kind] for kind in packed) <= MOST_CHUNK:
            continue
        skipped, data = dataset.read_direct_chunk(chunk.chunk_offset)
        if packed != [h5py.h5z.FILTER_DEFLATE] or len(data) > whole + whole // 100 + 1024:
            raise PipelineError(f"{where}: a chunk of {len(data):,} bytes, packed; expected smaller ones")
        unpacking = zlib.decompressobj()
        unpacking.decompress(data, whole + 1)
        if not skipped and (unpacking.unconsumed_tail or not unpacking.eof):
            raise PipelineError(f"{where}: a chunk is unpacked to more than its {whole:,} bytes")


def set_text(place: h5py.File | h5py.Group, name: str, value: str) -> None:
    """Set a text attribute, of fixed length: HDF5 puts others on a heap, which it holds to no checksum."""
    data = value.encode()
    place.attrs.create(name, np.array(data, h5py.string_dtype("utf-8", len(data))))


def text(place: h5py.File | h5py.Group, name: str) -> str:
    """A text attribute of fixed length; empty if there is none of that kind."""
    if name in place.attrs and (found := place.attrs.get_id(name)).shape == () and found.dtype.kind == "S":
        return bytes(place.attrs[name]).decode("utf-8", "replace")
    return ""


def whole(place: h5py.File | h5py.Group, name: str) -> int:
    """An attribute that is a whole number; raises one of DAMAGE_ERRORS where it is none."""
    attribute = place.attrs.get_id(name)
    if attribute.shape != () or attribute.dtype.kind not in "iu":
        raise ValueError(f"{name} is no whole number")
    return int(place.attrs[name])


def texts(path: Path, group: h5py.Group, name: str) -> tuple[str, ...]:
    """A dataset of texts of fixed length, (K,), UTF-8.

    Raises:
        PipelineError: it holds something else, or too much.
    """
    dataset = member(path, group, name)
    if dataset.ndim != 1 or dataset.dtype.kind != "S" or len(dataset) * dataset.dtype.itemsize > MOST_TEXT:
        raise PipelineError(
            f"{printable(path)}: {printable(name)} should be texts of fixed length, {MOST_TEXT:,} bytes at "
            f"most; found {dataset.shape} {dataset.dtype}"
        )
    return tuple(bytes(each).decode("utf-8", "replace") for each in dataset[:])


def error_text(error: BaseException) -> str:
    """An error of h5py's in one line."""
    return one_line(error).strip("'")
