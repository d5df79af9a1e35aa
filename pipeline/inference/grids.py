"""Pictures side by side, as one PNG."""

import io
import math
from collections.abc import Collection, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common import files

GAP, WIDE = 4, 14  # pixels between tiles, and between those that are to stand apart
LEAST, MOST = 64, 192  # pixels that a tile is enlarged to: at least so many, and no more than that
WIDTH = 1200  # pixels that a grid is wide, about
BACKGROUND = 255  # white


def columns(count: int, high: int = 1) -> int:
    """Columns of a grid of so many groups, each `high` tiles high: a little wider than high, few gaps."""
    least = math.ceil(math.sqrt(count * high))
    return min(range(least, least + least // 3 + 1), key=lambda wide: -count % wide)


def rows(tiles: np.ndarray, columns: int) -> list[np.ndarray]:
    """Tiles (N, 3, H, W) in rows of so many, the last of fewer."""
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def scale(columns: int, width: int) -> int:
    """Factor by which tiles of that width are enlarged."""
    return max(-(-LEAST // width), min(WIDTH // (columns * width), MOST // width), 1)


def write(
    path: Path, tiles: Sequence[np.ndarray], after_rows: Collection[int] = (), after: Collection[int] = ()
) -> None:
    """Write a grid as a PNG; pixels of small pictures become squares.

    tiles: a row each, (n, 3, H, W) uint8; wide gaps follow the rows `after_rows` and the columns `after`.
    """
    count = max(map(len, tiles))
    _, height, width = tiles[0].shape[1:]
    times = scale(count, width)
    tops = _places(len(tiles), height * times, after_rows)
    lefts = _places(count, width * times, after)
    canvas = np.full((tops[-1] - GAP + WIDE, lefts[-1] - GAP + WIDE, 3), BACKGROUND, np.uint8)
    for top, row in zip(tops, tiles, strict=False):
        for left, tile in zip(lefts, row, strict=False):
            pixels = tile.transpose(1, 2, 0).repeat(times, axis=0).repeat(times, axis=1)
            canvas[top : top + height * times, left : left + width * times] = pixels
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG", optimize=True)
    files.write_bytes(path, buffer.getvalue())


def _places(count: int, side: int, after: Collection[int]) -> list[int]:
    """Offsets of tiles, and of one more."""
    return list(accumulate((side + (WIDE if n in after else GAP) for n in range(count)), initial=WIDE))
