"""Pictures and plots as data URIs, so that a page needs no other file. Equal input, equal bytes."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from pipeline.common import paths
from vae.metrics import EpochMetrics

WHOLE_COLOR = "#8a63c7"  # of whole images, and of the joint component
COMPONENT_COLORS = {"red": "#d1493f", "green": "#3f9a5a", "blue": "#3f72d1", paths.JOINT: WHOLE_COLOR}
GREY = "#777777"  # seen on white and on black
GAP = 2  # transparent pixels between tiles
LEAST, MOST = 64, 96  # pixels that a tile is at least enlarged to, and a thumbnail at most has
LEAST_VARIANCE = 1e-4  # where the axis of `activity` begins
LABELLED = 24  # units whose numbers fit below their bars
STYLE = {
    "svg.hashsalt": "vaepipe",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "text.color": GREY,
}


def opaque(images: np.ndarray) -> np.ndarray:
    """(..., 3, H, W) uint8 to RGBA tiles (..., H, W, 4)."""
    alpha = np.full_like(images[..., :1, :, :], 255)
    return np.moveaxis(np.concatenate([images, alpha], axis=-3), -3, -1)


def grey(images: np.ndarray) -> np.ndarray:
    """(..., H, W) uint8 to RGBA tiles (..., H, W, 4)."""
    return opaque(np.repeat(images[..., None, :, :], 3, axis=-3))


def channels(images: np.ndarray) -> np.ndarray:
    """Each image above its red, green and blue channel: (N, 3, H, W) to tiles (4, N, H, W, 4)."""
    return np.stack([opaque(images), *(grey(images[:, c]) for c in range(3))])


def scale(width: int) -> int:
    """Factor by which images of that width are enlarged, with sharp pixels: SVHN's crops twice."""
    return max(1, -(-LEAST // width))


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images (..., H, W) uint8 wider than a thumbnail, averaged over squares of pixels until they are not."""
    side = -(-images.shape[-1] // MOST)
    if side == 1:
        return images
    height, width = images.shape[-2] // side, images.shape[-1] // side
    squares = images[..., : height * side, : width * side].reshape(
        *images.shape[:-2], height, side, width, side
    )
    return squares.mean((-3, -1)).round().astype(np.uint8)


def filled(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles (rows, n, H, W, 4) with transparent ones to the row's end, so that all rows are of one scale."""
    return np.pad(tiles, ((0, 0), (0, columns - tiles.shape[1]), (0, 0), (0, 0), (0, 0)))


def sheet(tiles: np.ndarray, scale: int) -> Image.Image:
    """RGBA tiles, (rows, columns, H, W, 4) uint8, side by side, `scale` times enlarged."""
    rows, columns, height, width, _ = tiles.shape
    framed = np.pad(tiles, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)))
    pixels = framed.swapaxes(1, 2).reshape(rows * (height + GAP), columns * (width + GAP), 4)
    image = Image.fromarray(pixels[:-GAP, :-GAP])
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def png(image: Image.Image) -> bytes:
    """A picture as a PNG, compressed as far as PNG goes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def grid(tiles: np.ndarray, scale: int) -> str:
    """A PNG of tiles, as `sheet` has them."""
    return data_uri("image/png", png(sheet(tiles, scale)))


def curves(history: Sequence[EpochMetrics], component: str) -> str:
    """An SVG: the cost of a component's training and validation images by epoch."""
    with _plot(component) as (axis, color, svg):
        for split, line in (("train", "-"), ("validation", "--")):
            points = [(r.epoch, r.cost) for r in history if (r.component, r.split) == (component, split)]
            if points:
                marker = "o" if len(points) == 1 else ""
                axis.plot(*zip(*points, strict=True), line, marker=marker, color=color, label=split)
        axis.set_xlabel("epoch")
        axis.set_ylabel("cost, nats per image")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis.lines:
            axis.legend(frameon=False)
    return data_uri("image/svg+xml", svg.getvalue())


def activity(variance: Sequence[float], component: str, threshold: float) -> str:
    """An SVG: a bar for each latent unit, the most active first; those below the threshold are grey."""
    order = sorted(range(len(variance)), key=lambda unit: (-variance[unit], unit))
    heights = [variance[unit] for unit in order]
    with _plot(component) as (axis, color, svg):
        colors = [color if variance > threshold else "#aaaaaa" for variance in heights]
        axis.bar(range(len(order)), heights, width=0.8 if len(order) <= LABELLED else 1, color=colors)
        axis.axhline(threshold, color=GREY, linewidth=1, linestyle="--")
        axis.set_ylim(LEAST_VARIANCE, 2 * max(1, *heights))  # before the scale: all heights may be 0
        axis.set_yscale("log")
        axis.set_xlim(-0.8, len(order) - 0.2)
        axis.set_ylabel("variance of the mean")
        if len(order) <= LABELLED:
            axis.set_xticks(range(len(order)), [str(unit) for unit in order], fontsize=7)
            axis.set_xlabel("unit")
        else:
            axis.set_xlabel("units, most active first")
    return data_uri("image/svg+xml", svg.getvalue())


@contextmanager
def _plot(component: str) -> Iterator[tuple[Axes, str, io.BytesIO]]:
    """Axes in a component's colour; when the block ends, what was drawn is in the buffer."""
    color, svg = COMPONENT_COLORS.get(component, GREY), io.BytesIO()
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=(3.8, 2.8), layout="constrained")
        axis = figure.subplots()
        axis.set_title(component, color=color, fontweight="bold")
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
        yield axis, color, svg
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as a data: URI, which needs no file beside the page; `kind` is a media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
