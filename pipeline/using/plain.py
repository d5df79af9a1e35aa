"""HDF5 from elsewhere: what is read has to lie in the file itself, and be small at a time."""

import math
from pathlib import Path

import h5py

from pipeline.data.folder import shown
from pipeline.errors import PipelineError

MOST_CHUNK = 64 << 20  # bytes that are unpacked at once, however few they are packed
LAYOUTS = {h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED}  # not virtual ones, of other files
# Filters that HDF5 and h5py bring along; any other would be a plug-in, loaded from a folder.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def member(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset of a file, not a link to another place.

    Raises:
        PipelineError: it is not there, a link, no dataset, or not as `check` wants it.
    """
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise PipelineError(f"{shown(path)}: expected a dataset {name} in the file itself; found none")
    check(path, file[name])
    return file[name]


def check(path: Path, dataset: h5py.Dataset) -> None:
    """Raise unless all numbers are in the file itself, as many as it says, in chunks of modest size."""
    where, properties = f"{shown(path)}: {dataset.name}", dataset.id.get_create_plist()
    if properties.get_layout() not in LAYOUTS or properties.get_external_count():
        raise PipelineError(f"{where}: its numbers are in other files; expected them in this one")
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if not filters <= FILTERS:
        raise PipelineError(f"{where}: packed by an unknown filter; expected gzip, lzf, or none")
    size = math.prod(dataset.chunks or (1,)) * dataset.dtype.itemsize
    if size > MOST_CHUNK:
        raise PipelineError(f"{where}: chunks of {size:,} bytes; expected at most {MOST_CHUNK:,}")
    whole = math.prod(dataset.shape) * dataset.dtype.itemsize
    if dataset.chunks is None and (dataset.id.get_storage_size() != whole or whole > path.stat().st_size):
        raise PipelineError(f"{where}: says that it holds {whole:,} bytes, more than there are in the file")
