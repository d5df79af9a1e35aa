"""Latent files: HDF5 with the latents of pictures, and what it takes to turn them into pictures again.

    z        (N, K) float16; or uint8, of which offset + scale * z are the latents
    scale    (K,) float32, of 8 bits alone
    offset   (K,) float32, the same
    labels   (N,) uint16, of conditional models alone: what they were told
    names    (N,) text of fixed length, gzip: what the pictures were called

Attributes: `format` and `version`; `models`, the fingerprint of the models; `bits`; `image`, (3, H, W);
`crc32` of all these bytes in the order above. Equal contents are equal bytes.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.common import files
from pipeline.common.errors import PipelineError, printable
from pipeline.data import hdf5

FORMAT, VERSION = "vaepipe latents", 1
PARTS = ("z", "scale", "offset", "labels", "names")
BLOCK = 4096  # rows in memory at a time
LONGEST = 255  # bytes of a name: of a longer one, the end is kept
MOST_UNITS, MOST_NAMES = 1 << 20, 1 << 28  # K, and bytes of all names, of files from elsewhere
REMEDY = "make it again with `vaepipe encode`"
DAMAGED = f"not a whole latent file; {REMEDY}"


@dataclass(frozen=True)
class Steps:
    """8 bits: a unit's latents are offset + scale * (0 to 255), from its least one to its largest.

    With steps of one size the largest error is half a step, the least that 256 values can have. Steps that
    follow a normal distribution would have 1.3 dB less of squared error (Max 1960), which is far below the
    models' own as it is.
    """

    scale_K: np.ndarray  # float32
    offset_K: np.ndarray  # float32

    @classmethod
    def between(cls, least_K: np.ndarray, most_K: np.ndarray) -> "Steps":
        """Steps for latents in a range, float32."""
        return cls(((most_K.astype(np.float64) - least_K) / 255).astype(np.float32), least_K)


def store(z_NK: np.ndarray, steps: Steps | None) -> np.ndarray:
    """Latents as they are stored, (N, K) float16 or uint8."""
    if steps is None:
        with np.errstate(over="ignore"):  # `encode` looks for infinity
            return z_NK.astype(np.float16)
    places = (z_NK - steps.offset_K) / np.where(steps.scale_K > 0, steps.scale_K, 1)
    return places.round().clip(0, 255).astype(np.uint8)


def restore(stored_NK: np.ndarray, steps: Steps | None) -> np.ndarray:
    """Stored latents as numbers, (N, K) float32."""
    z = stored_NK.astype(np.float32)
    return z if steps is None else steps.offset_K + steps.scale_K * z


@dataclass(frozen=True)
class Contents:
    """Contents of a latent file besides its latents."""

    models: str  # the fingerprint of the models
    image: tuple[int, ...]  # (3, H, W)
    steps: Steps | None  # None: 16 bits
    labels: np.ndarray | None  # (N,)
    names: Sequence[str]  # N


@contextmanager
def create(path: Path, contents: Contents, units: int) -> Iterator[h5py.Dataset]:
    """Yield room for stored latents, (N, units), to fill in blocks; the file is there when the block ends."""
    steps, count = contents.steps, len(contents.names)
    with hdf5.create(path) as file:
        kind = np.uint8 if steps else np.float16
        z = file.create_dataset("z", (count, units), kind, track_times=False)
        if steps:
            file.create_dataset("scale", data=steps.scale_K, track_times=False)
            file.create_dataset("offset", data=steps.offset_K, track_times=False)
        if contents.labels is not None:
            file.create_dataset("labels", data=contents.labels.astype(np.uint16), track_times=False)
        names = [_cut(name) for name in contents.names]
        file.create_dataset(
            "names",
            data=np.array(names, h5py.string_dtype("utf-8", max(map(len, names)))),
            chunks=(min(count, BLOCK),),
            compression=9,
            shuffle=True,
            track_times=False,
        )
        yield z
        # Of fixed length: HDF5 puts other texts on a heap of 4 KB.
        file.attrs.update(
            {
                "format": np.bytes_(FORMAT),
                "version": VERSION,
                "models": np.bytes_(contents.models),
                "bits": 8 if steps else 16,
                "image": contents.image,
                "crc32": np.uint32(_crc32(file[name] for name in PARTS if name in file)),
            }
        )


@dataclass(frozen=True)
class LatentFile:
    """An open file, checked."""

    path: Path
    contents: Contents
    stored: h5py.Dataset  # (N, K)

    def __len__(self) -> int:
        return int(self.stored.shape[0])

    def blocks(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their latents, float32, at most so many at a time.

        Raises:
            PipelineError: one is NaN or infinite.
        """
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            with hdf5.reading(self.path, DAMAGED):
                stored = self.stored[rows]
            z = restore(stored, self.contents.steps)
            if not np.isfinite(z).all():
                raise PipelineError(f"{printable(self.path)}: {DAMAGED} (a latent is not a finite number)")
            yield rows, z


@contextmanager
def read(path: Path) -> Iterator[LatentFile]:
    """A latent file, all of whose numbers have been seen to be whole.

    Raises:
        PipelineError: it is absent, damaged, of another kind or version, or refers to other files.
    """
    if not path.is_file():
        raise PipelineError(f"{printable(path)}: {'not a file' if path.exists() else 'not found'}")
    files.check_readable(path)
    with hdf5.open_to_read(path, DAMAGED) as file:
        with hdf5.reading(path, DAMAGED):
            found = _checked(path, file)
        yield found


def _checked(path: Path, file: h5py.File) -> LatentFile:
    """The file's contents, read; raises a PipelineError or one of hdf5.DAMAGE_ERRORS."""
    _check_version(path, file)
    parts = _parts(path, file)
    if _crc32(parts.values()) != hdf5.whole(file, "crc32"):
        raise ValueError("its checksum is another")
    contents = Contents(
        hdf5.text(file, "models"),
        _image(file),
        Steps(parts["scale"][:], parts["offset"][:]) if "scale" in parts else None,
        parts["labels"][:] if "labels" in parts else None,
        [name.decode("utf-8", "replace") for name in parts["names"][:]],
    )
    return LatentFile(path, contents, parts["z"])


def _check_version(path: Path, file: h5py.File) -> None:
    if hdf5.text(file, "format") != FORMAT:
        raise PipelineError(f"{printable(path)}: not a latent file; expected one of `vaepipe encode`")
    if (version := hdf5.whole(file, "version")) != VERSION:
        raise PipelineError(f"{printable(path)}: a latent file of version {version}, not {VERSION}; {REMEDY}")


def _parts(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets, each of the type and the shape that it should have, in the order of the checksum."""
    eight = hdf5.whole(file, "bits") == 8
    z = _member(path, file, "z", np.uint8 if eight else np.float16)
    if z.ndim != 2 or not z.size or z.chunks or z.shape[1] > MOST_UNITS:
        raise ValueError(f"z is {z.shape}")
    count, units = z.shape
    parts = {"z": z}
    if eight:
        parts |= {name: _member(path, file, name, np.float32, (units,)) for name in ("scale", "offset")}
    if file.get("labels", getlink=True):
        parts["labels"] = _member(path, file, "labels", np.uint16, (count,))
    names = parts["names"] = hdf5.member(path, file, "names")
    length = names.dtype.itemsize
    if names.shape != (count,) or names.dtype.kind != "S" or length > LONGEST or count * length > MOST_NAMES:
        raise ValueError(f"names are {names.shape} {names.dtype}")
    return parts


def _image(file: h5py.File) -> tuple[int, int, int]:
    """Channels, height and width."""
    image = file.attrs.get_id("image")
    if image.shape != (3,) or image.dtype.kind != "i":
        raise ValueError("image is not three whole numbers")
    channels, height, width = file.attrs["image"].tolist()
    return channels, height, width


def _member(
    path: Path, file: h5py.File, name: str, dtype: Any, shape: tuple[int, ...] | None = None
) -> h5py.Dataset:
    """A dataset of that type, and if it is given of that shape."""
    dataset = hdf5.member(path, file, name)
    if dataset.dtype != dtype or (shape is not None and dataset.shape != shape):
        raise ValueError(f"{name} is {dataset.shape} {dataset.dtype}")
    return dataset


def _crc32(parts: Iterable[h5py.Dataset]) -> int:
    """Over the bytes of some datasets, one after another."""
    found = 0
    for part in parts:
        for start in range(0, len(part), BLOCK):
            found = zlib.crc32(part[start : start + BLOCK].tobytes(), found)
    return found


def _cut(name: str) -> bytes:
    """A name in UTF-8, of a long one its end."""
    return name.encode()[-LONGEST:].decode(errors="ignore").encode() or b"-"
