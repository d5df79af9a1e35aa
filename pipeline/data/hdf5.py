"""HDF5 files: written whole or not at all; of those from elsewhere only what lies in them is read."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import h5py

from pipeline.common import files
from pipeline.common.errors import PipelineError, one_line, printable

MOST_CHUNK = 64 << 20  # bytes that are unpacked at once, however few they are packed
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
        with h5py.File(disk, "w", libver="v110") as written:
            yield written
        if disk.error:
            raise disk.error


def open_to_read(path: Path, damaged: str) -> h5py.File:
    """Open a file, or raise a PipelineError that says `damaged`, and why."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise PipelineError(f"{printable(path)}: {damaged} ({error_text(error)})") from None


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
    where = f"{printable(path)}: {dataset.name}"
    if reason := unsafe_reason(dataset.id):
        raise PipelineError(f"{where}: {reason}")
    whole = math.prod(dataset.shape) * dataset.dtype.itemsize
    if dataset.chunks is None and (dataset.id.get_storage_size() != whole or whole > path.stat().st_size):
        raise PipelineError(f"{where}: says that it holds {whole:,} bytes, more than there are in the file")


def unsafe_reason(dataset: h5py.h5d.DatasetID) -> str:
    """Reason not to read a dataset, whatever its size; empty if it may be read."""
    plan = dataset.get_create_plist()
    if plan.get_layout() not in LAYOUTS or plan.get_external_count():
        return "its numbers are in other files; expected them in this one"
    if not {plan.get_filter(i)[0] for i in range(plan.get_nfilters())} <= FILTERS:
        return "packed by an unknown filter; expected gzip, lzf, or none"
    if plan.get_layout() == h5py.h5d.CHUNKED:
        size = math.prod(plan.get_chunk()) * dataset.dtype.itemsize
        if size > MOST_CHUNK:
            return f"chunks of {size:,} bytes; expected at most {MOST_CHUNK:,}"
    return ""


def error_text(error: BaseException) -> str:
    """An error of h5py's in one line."""
    return one_line(error).strip("'")
