"""Arrays of images as people have them: in which order the axes are, and which number is white."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.own import brightness
from pipeline.data.own.brightness import WHITE_8, WHITE_16, WrongRange

CHANNELS = (1, 3, 4)  # of an image: grey, RGB, RGB with transparency
EXPECTED = "(N, H, W), (N, H, W, 1, 3 or 4) or (N, 1, 3 or 4, H, W)"
BLOCK = 4096  # images looked through at a time


class WrongArray(ValueError):
    """An array that holds no images or labels; the message says what was found, and what to do."""


@dataclass(frozen=True)
class ImageArray:
    """Images in a NumPy array, or in an HDF5 dataset: read a block at a time."""

    values: Any  # (N, H, W) or with channels, first or last; numbers or booleans
    channels_first: bool
    white: float = WHITE_8  # the number that is white

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def side(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.values.shape[2:4] if self.channels_first else self.values.shape[1:3]
        return int(height), int(width)

    def block(self, rows: slice | np.ndarray) -> np.ndarray:
        """Some images as bytes, (B, H, W) or (B, H, W, 3 or 4)."""
        values = np.asarray(self.values[rows])
        if self.channels_first:
            values = np.moveaxis(values, 1, -1)
        values = values[..., 0] if values.shape[3:] == (1,) else values
        return brightness.to_bytes(values, self.white)


def images(values: Any, labels: int | None = None) -> ImageArray:
    """An array as images. `labels` is the number of labels beside it, where there are some.

    Raises:
        WrongArray: it is of another shape or type.
    """
    shape, kind = tuple(map(int, values.shape)), values.dtype.kind
    if kind not in "uifb" or len(shape) not in (3, 4):
        raise WrongArray(f"should be {EXPECTED}, numbers; found {shape} {values.dtype}")
    if 0 in shape:
        raise WrongArray(f"should hold images; found {shape}")
    if hint := _other_order(shape, labels):
        raise WrongArray(f"should be {EXPECTED}; found {shape}, {hint}")
    first, last = len(shape) == 4 and shape[1] in CHANNELS, len(shape) == 4 and shape[3] in CHANNELS
    if len(shape) == 4 and first == last:
        why = "which could be channels first or last" if first else "with no axis of 1, 3 or 4 channels"
        raise WrongArray(f"should be {EXPECTED}; found {shape}, {why}")
    return ImageArray(values, first)


def _other_order(shape: tuple[int, ...], labels: int | None) -> str:
    """What to do where the images' axis seems to be the last one; empty where it is the first."""
    if labels == shape[0]:
        return ""
    if len(shape) == 3:
        height, width, count = shape
        if labels == count or (labels is None and height == width != count):
            return (
                f"which looks like (H, W, N): give numpy.moveaxis(images, -1, 0), or if they are {height:,} "
                f"images of {count}x{width}, ({height}, {width}, {count}, 1)"
            )
    elif shape[2] in CHANNELS and (labels == shape[3] or shape[0] == shape[1]):
        return "which looks like (H, W, C, N), as in SVHN's files: give images.transpose(3, 0, 1, 2)"
    return ""


def with_white(arrays: Sequence[ImageArray], white_level: int | None) -> list[ImageArray]:
    """The same, with the number that is white in all of them, which are one set.

    Of uint8 and uint16 that is the largest number of the type, of booleans 1. Of other numbers the set's
    brightest tells: up to 1, they are from 0 to 1 where they are floating-point; up to 255, from 0 to 255.

    Raises:
        WrongRange: no range fits, or `white_level` does not.
    """
    dtypes = {array.values.dtype for array in arrays}
    bounds = [brightness.bounds(block) for array in arrays for block in _blocks(array)]
    least, most = min(low for low, _ in bounds), max(high for _, high in bounds)
    slack = brightness.ROUNDING * (white_level or most) if any(d.kind == "f" for d in dtypes) else 0
    if least < -slack:
        raise WrongRange(f"numbers down to {brightness.shown(least)}; expected none below 0")
    if white_level is None:
        white = _white(dtypes, most)
    elif most > white_level + slack:
        raise WrongRange(f"numbers up to {brightness.shown(most)}, above data.white_level, {white_level:,}")
    else:
        white = white_level
    return [ImageArray(array.values, array.channels_first, white) for array in arrays]


def _blocks(array: ImageArray) -> Iterator[np.ndarray]:
    return (np.asarray(array.values[n : n + BLOCK]) for n in range(0, len(array), BLOCK))


def _white(dtypes: set[np.dtype[Any]], most: float) -> float:
    """White where nothing but types and the brightest number tells of it."""
    what = f"arrays of {', '.join(sorted(map(str, dtypes)))}"
    if dtypes == {np.dtype(bool)}:
        return 1
    if len(dtypes) == 1 and (of_type := {"uint8": WHITE_8, "uint16": WHITE_16}.get(str(next(iter(dtypes))))):
        if dark := brightness.dark(most, of_type, what):
            raise WrongRange(dark)
        return of_type
    if all(dtype.kind == "f" for dtype in dtypes) and most <= 1 + brightness.ROUNDING:
        return 1
    if brightness.DARK[WHITE_8] < most <= WHITE_8 or most == 0:
        return WHITE_8
    expected = "0 to 1, or 0 to 255" if any(dtype.kind == "f" for dtype in dtypes) else "0 to 255"
    raise WrongRange(
        f"{what} with numbers up to {brightness.shown(most)}; expected {expected}; {brightness.advice(most)}"
    )
