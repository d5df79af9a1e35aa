"""A digit cut out of its photo: a square, undistorted, with a margin, and little of the digits beside it.

SVHN's own 32x32 crops are squares as wide as the longer side of the box, its neighbours in it: this module
gives the same with `margin` 0 and neighbours shown. Where they are hidden, what lies beyond half the gap to a
neighbour is replaced by the background before it, which fades into its own blur.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, inf

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from pipeline.data.svhn.digitstruct import Box

BLUR, FADE = 0.12, 0.06  # of what hides a neighbour, along the edge and away from it; shares of the window


@dataclass(frozen=True)
class Area:
    """A rectangle in a photo, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def side(self) -> float:
        """Side of a square area."""
        return self.right - self.left


WITHOUT_END = Area(-inf, -inf, inf, inf)


def window(box: Box, margin: float) -> Area:
    """The square around a box's middle, its longer side and `margin` of it on each side."""
    half = max(box.width, box.height) * (0.5 + margin)
    x, y = box.left + box.width / 2, box.top + box.height / 2
    return Area(x - half, y - half, x + half, y + half)


def visible_area(box: Box, others: Sequence[Box]) -> Area:
    """Area that is a digit's own: to half the gap to each neighbour, but never less than its box."""
    left, top, right, bottom = -inf, -inf, inf, inf
    for other in others:
        across = max(other.left - box.right, box.left - other.right)  # gaps; less than 0 where boxes meet
        down = max(other.top - box.bottom, box.top - other.bottom)
        if across >= down:
            if other.left + other.right < box.left + box.right:
                left = max(left, min(box.left, (box.left + other.right) / 2))
            else:
                right = min(right, max(box.right, (box.right + other.left) / 2))
        elif other.top + other.bottom < box.top + box.bottom:
            top = max(top, min(box.top, (box.top + other.bottom) / 2))
        else:
            bottom = min(bottom, max(box.bottom, (box.bottom + other.top) / 2))
    return Area(left, top, right, bottom)


def neighbours(seen: Area, visible: Area, others: Sequence[Box]) -> float:
    """The share of a window that other digits' boxes cover, 0 to 1, in what is visible of it."""
    left, top = max(seen.left, visible.left), max(seen.top, visible.top)
    right, bottom = min(seen.right, visible.right), min(seen.bottom, visible.bottom)
    covered = 0.0
    # The union of rectangles: each cell of the grid that their edges make is in some or in none.
    xs = sorted({min(max(x, left), right) for box in others for x in (box.left, box.right)})
    ys = sorted({min(max(y, top), bottom) for box in others for y in (box.top, box.bottom)})
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            if any(box.left < x < box.right and box.top < y < box.bottom for box in others):
                covered += (x1 - x0) * (y1 - y0)
    return covered / seen.side**2


def crop(photo: np.ndarray, seen: Area, visible: Area, size: int) -> np.ndarray:
    """The window, `size` pixels a side, (3, size, size) uint8. photo: (H, W, 3) uint8.

    Where it leaves the photo, the photo's edges are replicated; what is not visible is hidden.
    """
    # What the filter looks at around the window: two pixels of the crop.
    reach = ceil(2 * max(1, seen.side / size)) + 1
    left, top = floor(seen.left) - reach, floor(seen.top) - reach
    pixels = _part(photo, left, top, ceil(seen.right) + reach, ceil(seen.bottom) + reach)
    soft = pixels.astype(np.float32)
    for axis, start, ends in (
        (1, left, (visible.left, visible.right)),
        (0, top, (visible.top, visible.bottom)),
    ):
        lines = np.moveaxis(soft, axis, 0)
        # Whole lines, the ones that are partly visible among them.
        first = floor(min(max(ends[0] - start, 0), len(lines) - 1))
        last = ceil(min(max(ends[1] - start, first + 1), len(lines)))
        _hide(lines[: first + 1][::-1], seen.side)
        _hide(lines[last - 1 :], seen.side)
    picture = Image.fromarray(soft.round().astype(np.uint8))
    box = (seen.left - left, seen.top - top, seen.right - left, seen.bottom - top)
    # Bicubic, as SVHN's own crops are; Pillow widens the filter where the picture becomes smaller.
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box)).transpose(2, 0, 1)


def _part(photo: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Part of a photo; what lies outside repeats its edges."""
    height, width, _ = photo.shape
    rows = np.arange(top, bottom).clip(0, height - 1)
    columns = np.arange(left, right).clip(0, width - 1)
    return photo[rows[:, None], columns]


def _hide(lines: np.ndarray, side: float) -> None:
    """Replace all lines after the first, (n, length, 3), by it, blurred the more the farther away."""
    if len(lines) < 2:
        return
    edge = lines[0]
    blurred = gaussian_filter1d(edge, BLUR * side, axis=0, mode="nearest")
    far = 1 - np.exp(-np.arange(1, len(lines), dtype=np.float32) / (FADE * side))
    lines[1:] = edge + far[:, None, None] * (blurred - edge)
