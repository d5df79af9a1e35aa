"""SVHN's format 2: a MATLAB 5 file with `X`, 32x32x3xN uint8, and `y`, Nx1 in 1..10, 10 for the digit 0."""

import struct
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.io

from pipeline.common import files
from pipeline.common.errors import PipelineError
from pipeline.common.image_limits import unpacked_trouble

PACKED = 15  # the kind of an element that holds another one
MOST_VARIABLES = 10_000  # SVHN's files have two
HEAD = 4096  # bytes, in which the names and the sizes of a variable stand
REMEDY = "delete it and run `dvc repro -f download`, or mend the source"


def read(path: Path, remedy: str = REMEDY) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and digits (N,) uint8 0..9.

    The images are a view of the file's column-major array, not a copy: slice it in blocks.
    remedy: what errors advise, which depends on whose file it is.

    Raises:
        PipelineError: the file is absent, damaged, or not of this layout.
    """
    try:
        files.check_readable(path)
    except FileNotFoundError:
        raise PipelineError(f"{path}: not found; run `dvc repro download` to get it") from None
    try:
        _check_size(path)
        contents = scipy.io.loadmat(str(path), variable_names=("X", "y"))
    except PipelineError:
        raise
    # scipy answers a damaged file with whatever its parser trips over: zlib.error, TypeError, ValueError...
    except Exception as error:
        raise PipelineError(f"{path}: not a whole MATLAB 5 file ({error}); {remedy}") from None
    X, y = (_variable(path, contents, name, remedy) for name in ("X", "y"))
    if X.dtype != np.uint8 or X.ndim != 4 or X.shape[:3] != (32, 32, 3) or X.shape[3] == 0:
        raise PipelineError(f"{path}: X should be 32x32x3xN uint8, N at least 1; found {_kind(X)}; {remedy}")
    if y.size != X.shape[3]:
        raise PipelineError(
            f"{path}: y should hold a label for each of {X.shape[3]} images; found {_kind(y)}; {remedy}"
        )
    labels = y.ravel()
    if not np.isin(labels, np.arange(1, 11)).all():
        wrong = labels[~np.isin(labels, np.arange(1, 11))][0]
        raise PipelineError(f"{path}: labels should be 1 to 10 (10 for the digit 0); found {wrong}; {remedy}")
    # Axes of X are row, column, channel, image.
    return X.transpose(3, 2, 0, 1), (labels % 10).astype(np.uint8)


def write(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (N, 3, 32, 32) uint8 and digits (N,) 0..9 as SVHN does. Equal input, equal bytes."""
    y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    scipy.io.savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": y}, do_compression=True)
    # The header's first 116 bytes are free text, where scipy puts the time of day.
    with path.open("r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, written by vaepipe".ljust(116))


def _check_size(path: Path) -> None:
    """Raise unless the memory holds the variables, and the file can: scipy makes room for what they say."""
    with path.open("rb") as file:
        header = file.read(128)
        order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(header[124:])
        whole = sum(_unpacked(file, order)) if order else 0  # of another version: nothing in it is packed
    if trouble := unpacked_trouble(whole, path.stat().st_size):
        raise PipelineError(f"{path}: {trouble}")


def _unpacked(file: BinaryIO, order: str) -> Iterator[int]:
    """Bytes that the numbers of each packed variable say they are; `order` is struct's, of bytes."""
    tag = struct.Struct(f"{order}II")
    for number in count():
        if not (begins := file.read(tag.size)):
            return
        if number == MOST_VARIABLES:
            raise ValueError(f"more than {MOST_VARIABLES:,} variables")
        kind, size = tag.unpack(begins)
        end = file.tell() + size
        if kind == PACKED:
            head = zlib.decompressobj().decompress(file.read(min(size, HEAD)), HEAD)
            at = tag.size
            for _ in ("flags", "dimensions", "name"):
                kind, size = tag.unpack_from(head, at)
                # A few bytes stand within their tag; others behind it, filled up to whole words of 8.
                at += tag.size if kind >> 16 else tag.size + -(-size // 8) * 8
            yield tag.unpack_from(head, at)[1]
        file.seek(end)


def _variable(path: Path, contents: dict[str, Any], name: str, remedy: str) -> np.ndarray:
    if name not in contents:
        raise PipelineError(f"{path}: no variable {name} in it; expected SVHN's X and y; {remedy}")
    return np.asarray(contents[name])


def _kind(array: np.ndarray) -> str:
    return f"{'x'.join(map(str, array.shape))} {array.dtype}"
