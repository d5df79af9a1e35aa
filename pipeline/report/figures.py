"""Pictures and plots as data URIs, so that a page needs no other file. Equal input, equal bytes."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from vae.record import Record

COLORS = {"red": "#d1493f", "green": "#3f9a5a", "blue": "#3f72d1"}
GAP = 2  # transparent pixels between tiles


def opaque(images: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) or (N, H, W) uint8 to RGBA tiles (N, H, W, 4)."""
    if images.ndim == 3:
        images = np.repeat(images[:, None], 3, axis=1)
    alpha = np.full_like(images[:, :1], 255)
    return np.concatenate([images, alpha], axis=1).transpose(0, 2, 3, 1)


def channels(images: np.ndarray) -> np.ndarray:
    """Each image above its red, green and blue channel: (N, 3, H, W) to tiles (4, N, H, W, 4)."""
    return np.stack([opaque(images), *(opaque(images[:, c]) for c in range(3))])


def scale(width: int) -> int:
    """How often to enlarge images of that width, so that pixels stay sharp: SVHN's crops twice."""
    return max(1, -(-64 // width))


def grid(tiles: np.ndarray, scale: int) -> str:
    """A PNG of RGBA tiles, (rows, columns, H, W, 4) uint8, `scale` times enlarged."""
    rows, columns, height, width, _ = tiles.shape
    framed = np.pad(tiles, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)))
    sheet = framed.swapaxes(1, 2).reshape(rows * (height + GAP), columns * (width + GAP), 4)
    image = Image.fromarray(sheet[:-GAP, :-GAP])
    enlarged = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    enlarged.save(buffer, "PNG", optimize=True)
    return _data_uri("image/png", buffer.getvalue())


def curves(history: Sequence[Record], floors: Mapping[str, float]) -> str:
    """An SVG: for each component the cost of training and validation images by epoch."""
    style = {
        "svg.hashsalt": "vaepipe",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888888",
        "axes.labelcolor": "#777777",
        "xtick.color": "#777777",
        "ytick.color": "#777777",
        "text.color": "#777777",
    }
    components = list(floors)
    with mpl.rc_context(cast(Any, style)):
        figure = Figure(figsize=(3.6 * len(components), 2.7), layout="constrained")
        axes = figure.subplots(1, len(components), squeeze=False)[0]
        for axis, component in zip(axes, components, strict=True):
            color = COLORS.get(component, "#777777")
            for split, line in (("train", "-"), ("validation", "--")):
                points = [(r.epoch, r.cost) for r in history if (r.component, r.split) == (component, split)]
                if points:
                    marker = "o" if len(points) == 1 else ""
                    axis.plot(*zip(*points, strict=True), line, marker=marker, color=color, label=split)
            axis.set_title(component, color=color, fontweight="bold")
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.25, linewidth=0.6)
            if axis.lines:
                axis.legend(frameon=False)
        axes[0].set_ylabel("cost, nats per image")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _data_uri("image/svg+xml", buffer.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
